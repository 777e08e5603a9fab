package chunked

import "sync"

// jobChunks is how many chunks are one job: some 25 microseconds of work, against which handing it over counts little.
const jobChunks = 8

// jobsAhead is how many jobs there are for each worker, so that a worker has the next one while the caller reads and writes.
const jobsAhead = 2

// maxWorkers is how many workers there are at most, however many were asked for: more than there are cores to be had, and few enough for
// sizes to be counted in 32 bits.
const maxWorkers = 1024

// A job is a number of chunks that follow each other.
type job struct {
	sealed []byte // the chunks as they are encrypted,
	text   []byte // and their text, which fill or work makes room for
	first  uint64 // the number of the first one
	full   int    // how many are complete
	good   int    // how many of them were genuine
	done   chan struct{}
}

// inParallel has jobs filled, worked on by several workers at once, and drained in the order they were filled, until fill says that there
// are no more or drain that there is no point. fill and drain are called by the caller's goroutine. All workers have ended when it returns, also
// by a panic.
func inParallel(workers int, fill func(*job) (more bool), work func(*nonce, *job), drain func(*job) (goOn bool)) {
	queue := make(chan *job, workers*jobsAhead)
	var all sync.WaitGroup
	defer all.Wait()
	defer close(queue)
	for range workers {
		all.Go(func() {
			n := new(nonce)
			for j := range queue {
				work(n, j)
				j.done <- struct{}{}
			}
		})
	}
	jobs := make([]job, workers*jobsAhead) // a ring: those from drained to filled are under way
	var drained, filled int
	goOn := true
	next := func() {
		j := &jobs[drained%len(jobs)]
		<-j.done
		if goOn {
			goOn = drain(j)
		}
		drained++
	}
	for more := true; more && goOn; {
		if filled-drained == len(jobs) {
			next()
			continue
		}
		j := &jobs[filled%len(jobs)]
		if j.done == nil {
			j.done = make(chan struct{}, 1)
			j.sealed = make([]byte, jobChunks*sealedSize)
		}
		more = fill(j)
		queue <- j // has room for all
		filled++
	}
	for drained < filled {
		next()
	}
}
