package backup_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
)

func Example() {
	ctx := context.Background()
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)
	keys := filepath.Join(home, "keys")
	if err := errors.Join(os.Mkdir(keys, 0o700), os.WriteFile(filepath.Join(keys, "api.json"), []byte("{}"), 0o600)); err != nil {
		log.Fatal(err)
	}

	key := seal.GenerateKey() // once; then keep key.Reveal() where the backups are not
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	safe, err := backup.New(backup.Config{Ring: ring, Label: "acme gateway"})
	if err != nil {
		log.Fatal(err)
	}
	name := filepath.Join(home, "17.backup")
	_, err = safe.WriteFile(ctx, name, backup.Set{Counter: 17, Sources: []backup.Source{{Name: "keys", Path: keys}}})
	if err != nil {
		log.Fatal(err)
	}

	file, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	report, err := safe.Verify(ctx, file, backup.Guard{Newest: 17})
	fmt.Println(report.Files, "file,", report.Bytes, "bytes,", err)

	_, _ = file.Seek(0, 0)
	_, err = safe.Restore(ctx, file, backup.Target{Dir: filepath.Join(home, "restored"), Guard: backup.Guard{Newest: 18}})
	fmt.Println(err)
	_, _ = file.Seek(0, 0)
	_, err = safe.Restore(ctx, file, backup.Target{Dir: filepath.Join(home, "restored"), Guard: backup.Guard{Newest: 17}})
	text, _ := os.ReadFile(filepath.Join(home, "restored", "keys", "api.json"))
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// 1 file, 2 bytes, <nil>
	// backup: older than the newest known one: its counter is 17, and 18 is known
	// {} <nil>
}

func ExampleFailure() {
	err := error(&backup.Failure{Kind: backup.ErrHash, Name: "keys/api.json"})
	var failure *backup.Failure
	if errors.As(err, &failure) {
		fmt.Println(failure.Kind == backup.ErrHash, failure.Name)
	}
	// Output: true keys/api.json
}

// A backup every day that is read back, and an alarm when that has not worked for three.
func ExampleSchedule() {
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	safe, err := backup.New(backup.Config{Ring: ring, Label: "acme gateway"})
	if err != nil {
		log.Fatal(err)
	}
	ledger, err := backup.NewLedger(filepath.Join(home, "ledger"), "acme gateway")
	if err != nil {
		log.Fatal(err)
	}
	known, err := ledger.Load()
	if err != nil {
		log.Fatal(err)
	}
	what := func(ctx context.Context) (backup.Set, error) {
		return backup.Set{Sources: []backup.Source{{Name: "ledger", Path: filepath.Join(home, "ledger")}}}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	schedule, err := backup.NewSchedule(backup.ScheduleConfig{
		Every: 24 * time.Hour, AlertAfter: 72 * time.Hour, LastSuccess: known.Verified,
		Drill:   safe.Drill(ledger, home, what),
		OnDrill: func(d backup.Drill) { fmt.Println("backup", d.Report.Counter, d.Err); cancel() }, // to the audit log
		OnAlert: func(a backup.Alert) { fmt.Println("no backup since", a.Since, a.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(schedule.Run(ctx))
	// Output:
	// backup 1 <nil>
	// context canceled
}

func ExampleLedger() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ledger, err := backup.NewLedger(filepath.Join(dir, "ledger"), "acme gateway")
	if err != nil {
		log.Fatal(err)
	}
	counter, err := ledger.Next(context.Background()) // for Set.Counter
	fmt.Println(counter, err)
	if err := ledger.Note(context.Background(), counter, time.Time{}); err != nil { // when the backup is made
		log.Fatal(err)
	}
	known, err := ledger.Load() // for Guard.Newest, and ScheduleConfig.LastSuccess
	fmt.Println(known.Counter, known.Verified.IsZero(), err)
	// Output:
	// 1 <nil>
	// 1 true <nil>
}
