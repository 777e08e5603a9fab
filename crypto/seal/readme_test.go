package seal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheTableOfTheCryptoRoomNamesWhatThereIs(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	api, err := os.ReadFile("../../internal/api/testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	docs := regexp.MustCompile(`go doc \./crypto/(\w+)(?: (\w+)(?:\.(\w+))?)?`).FindAllStringSubmatch(string(readme), -1)
	if len(docs) < 9 {
		t.Errorf("%d commands in the table", len(docs))
	}
	for _, d := range docs {
		want := "pkg crypto/" + d[1] + ", "
		switch {
		case d[3] != "":
			want += "method (*" + d[2] + ") " + d[3] + "("
		case d[2] != "":
			want += "type " + d[2] + " "
		}
		if !strings.Contains(string(api), want) {
			t.Errorf("%s: no %q", d[0], want)
		}
	}
	code := strings.Split(string(readme), "```")
	if len(code) != 3 {
		t.Fatalf("%d pieces of code", len(code)/2)
	}
	for _, name := range regexp.MustCompile(`seal\.(\w+)[({]`).FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(string(api), "pkg crypto/seal, func "+name[1]+"(") && !strings.Contains(string(api), "pkg crypto/seal, type "+name[1]+" ") {
			t.Errorf("the program calls %s, which there is not", name[0])
		}
	}
}
