package jsonscan_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

func TestAMediaTypeIsOneAndInUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"application/json": "application/json", "Application/JSON; charset=UTF-8": "application/json", "application/x+json;charset=\"utf-8\"": "application/x+json",
		"application/json; profile=x": "application/json",
		"":                            "", "application/json; charset=utf-7": "", "application/json; charset=utf-16le": "", "application/json; charset=utf8": "", "application/json; charset=": "",
		"application/json; charset=utf-8; charset=utf-8": "", "application/json; charset=utf-8; charset*=utf-7''x": "", "application/json; charset*=utf-8''utf-7": "",
		"application/json, text/plain": "", "application/json; charset=utf-8; CharSet=utf-7": "", "application/json; charset": "",
	} {
		got, ok := jsonscan.MediaType(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}
