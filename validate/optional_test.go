package validate_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/validate"
)

// optionalDeviations lists which of the optional tests of the suite get another verdict than it wants, and why, by file. A file
// without a draft stands for both. v5 is santhosh-tekuri/jsonschema/v5, whose formats are in use. A change here is one in what
// clients may send.
var optionalDeviations = map[string]struct {
	why   string
	tests []string
}{
	"ecmascript-regex": {"pattern is RE2, as documented: no \\c escapes, and \\s is ASCII white space without the vertical tab", []string{
		`not compiled ECMA 262 regex escapes control codes with \c and upper letter: does not match`,
		`not compiled ECMA 262 regex escapes control codes with \c and upper letter: matches`,
		`not compiled ECMA 262 regex escapes control codes with \c and lower letter: does not match`,
		`not compiled ECMA 262 regex escapes control codes with \c and lower letter: matches`,
		`refused ECMA 262 \s matches whitespace: Line tabulation matches`,
		`refused ECMA 262 \s matches whitespace: latin-1 non-breaking-space matches`,
		`refused ECMA 262 \s matches whitespace: zero-width whitespace matches`,
		`refused ECMA 262 \s matches whitespace: paragraph separator matches (line terminator)`,
		`refused ECMA 262 \s matches whitespace: EM SPACE matches (Space_Separator)`,
		`accepted ECMA 262 \S matches everything but whitespace: Line tabulation does not match`,
		`accepted ECMA 262 \S matches everything but whitespace: latin-1 non-breaking-space does not match`,
		`accepted ECMA 262 \S matches everything but whitespace: zero-width whitespace does not match`,
		`accepted ECMA 262 \S matches everything but whitespace: paragraph separator does not match (line terminator)`,
		`accepted ECMA 262 \S matches everything but whitespace: EM SPACE does not match (Space_Separator)`,
	}},
	"draft2020-12/cross-draft": {"the remote document, of draft 2019-09, is not in the corpus; the built-in implementation would refuse that draft too", []string{
		`not compiled refs to historic drafts are processed as historic drafts: first item not a string is valid`,
	}},
	"draft7/cross-draft": {"the remote document, of draft 2019-09, is not in the corpus; the built-in implementation would refuse that draft too", []string{
		`not compiled refs to future drafts are processed as future drafts: missing bar is invalid`,
		`not compiled refs to future drafts are processed as future drafts: present bar is valid`,
	}},
	"draft7/content": {"content keywords are annotations, as draft 2020-12 wants it and draft 7 allows", []string{
		`accepted validation of string-encoded content based on media type: an invalid JSON document`,
		`accepted validation of binary string-encoding: an invalid base64 string (% is not a valid character)`,
		`accepted validation of binary-encoded media type documents: a validly-encoded invalid JSON document`,
		`accepted validation of binary-encoded media type documents: an invalid base64 string that is valid JSON`,
	}},
	"format/ecmascript-regex": {"isPattern is lenient about what engines of regular expressions differ in", []string{
		`accepted \a is not an ECMA 262 control escape: when used as a pattern`,
		`accepted Python-specific regular expression syntax is not valid ECMA 262: Python named group (?P<name>...) is not ECMA 262`,
		`accepted global inline flag groups are not valid ECMA 262: a single global inline flag (?i)`,
		`accepted global inline flag groups are not valid ECMA 262: multiple global inline flags (?ims)`,
	}},
	"format/hostname": {"v5 checks letters, digits, hyphens and lengths, but does not decode A-labels, and allows a trailing dot", []string{
		`accepted validation of host names: trailing dot`,
		`accepted validation of A-label (punycode) host names: invalid Punycode`,
		`accepted validation of A-label (punycode) host names: contains illegal char U+302E Hangul single dot tone mark`,
		`accepted validation of A-label (punycode) host names: Begins with a Spacing Combining Mark`,
		`accepted validation of A-label (punycode) host names: Begins with a Nonspacing Mark`,
		`accepted validation of A-label (punycode) host names: Begins with an Enclosing Mark`,
		`accepted validation of A-label (punycode) host names: Exceptions that are DISALLOWED, right-to-left chars`,
		`accepted validation of A-label (punycode) host names: Exceptions that are DISALLOWED, left-to-right chars`,
		`accepted validation of A-label (punycode) host names: MIDDLE DOT with no preceding 'l'`,
		`accepted validation of A-label (punycode) host names: MIDDLE DOT with nothing preceding`,
		`accepted validation of A-label (punycode) host names: MIDDLE DOT with no following 'l'`,
		`accepted validation of A-label (punycode) host names: MIDDLE DOT with nothing following`,
		`accepted validation of A-label (punycode) host names: Greek KERAIA not followed by Greek`,
		`accepted validation of A-label (punycode) host names: Greek KERAIA not followed by anything`,
		`accepted validation of A-label (punycode) host names: Hebrew GERESH not preceded by Hebrew`,
		`accepted validation of A-label (punycode) host names: Hebrew GERESH not preceded by anything`,
		`accepted validation of A-label (punycode) host names: Hebrew GERSHAYIM not preceded by Hebrew`,
		`accepted validation of A-label (punycode) host names: Hebrew GERSHAYIM not preceded by anything`,
		`accepted validation of A-label (punycode) host names: KATAKANA MIDDLE DOT with no Hiragana, Katakana, or Han`,
		`accepted validation of A-label (punycode) host names: KATAKANA MIDDLE DOT with no other characters`,
		`accepted validation of A-label (punycode) host names: Arabic-Indic digits mixed with Extended Arabic-Indic digits`,
		`accepted validation of A-label (punycode) host names: ZERO WIDTH JOINER not preceded by Virama`,
		`accepted validation of A-label (punycode) host names: ZERO WIDTH JOINER not preceded by anything`,
		`accepted validation of A-label (punycode) host names: contains "--" in the 3rd and 4th position`,
	}},
	"format/idn-email": {"v5 does not have the format: an annotation", []string{
		`accepted validation of an internationalized e-mail addresses: an invalid e-mail/idn e-mail address`,
		`accepted validation of an internationalized e-mail addresses: a fullwidth commercial at is not a local-part separator`,
	}},
	"format/idn-hostname": {"v5 does not have the format: an annotation", []string{
		`accepted validation of internationalized host names: illegal first char U+302E Hangul single dot tone mark`,
		`accepted validation of internationalized host names: contains illegal char U+302E Hangul single dot tone mark`,
		`accepted validation of internationalized host names: a single label of 64 characters is too long`,
		`accepted validation of internationalized host names: invalid label, correct Punycode`,
		`accepted validation of internationalized host names: invalid Punycode`,
		`accepted validation of internationalized host names: U-label contains "--" in the 3rd and 4th position`,
		`accepted validation of internationalized host names: U-label starts with a dash`,
		`accepted validation of internationalized host names: U-label ends with a dash`,
		`accepted validation of internationalized host names: U-label starts and ends with a dash`,
		`accepted validation of internationalized host names: Begins with a Spacing Combining Mark`,
		`accepted validation of internationalized host names: Begins with a Nonspacing Mark`,
		`accepted validation of internationalized host names: Begins with an Enclosing Mark`,
		`accepted validation of internationalized host names: Exceptions that are DISALLOWED, right-to-left chars`,
		`accepted validation of internationalized host names: Exceptions that are DISALLOWED, left-to-right chars`,
		`accepted validation of internationalized host names: MIDDLE DOT with no preceding 'l'`,
		`accepted validation of internationalized host names: MIDDLE DOT with nothing preceding`,
		`accepted validation of internationalized host names: MIDDLE DOT with no following 'l'`,
		`accepted validation of internationalized host names: MIDDLE DOT with nothing following`,
		`accepted validation of internationalized host names: Greek KERAIA not followed by Greek`,
		`accepted validation of internationalized host names: Greek KERAIA not followed by anything`,
		`accepted validation of internationalized host names: Hebrew GERESH not preceded by Hebrew`,
		`accepted validation of internationalized host names: Hebrew GERESH not preceded by anything`,
		`accepted validation of internationalized host names: Hebrew GERSHAYIM not preceded by Hebrew`,
		`accepted validation of internationalized host names: Hebrew GERSHAYIM not preceded by anything`,
		`accepted validation of internationalized host names: KATAKANA MIDDLE DOT with no Hiragana, Katakana, or Han`,
		`accepted validation of internationalized host names: KATAKANA MIDDLE DOT with no other characters`,
		`accepted validation of internationalized host names: Arabic-Indic digits mixed with Extended Arabic-Indic digits`,
		`accepted validation of internationalized host names: ZERO WIDTH JOINER not preceded by Virama`,
		`accepted validation of internationalized host names: ZERO WIDTH JOINER not preceded by anything`,
		`accepted validation of internationalized host names: empty string`,
		`accepted validation of internationalized host names: zero width non-joiner must pass at every occurrence`,
		`accepted validation of internationalized host names: Bidi domain name with a digit-first label is invalid`,
		`accepted validation of internationalized host names: label starting with a digit before a right-to-left letter is invalid`,
		`accepted validation of internationalized host names: left-to-right label containing a right-to-left letter is invalid`,
		`accepted validation of internationalized host names: right-to-left label mixing both digit types is invalid`,
		`accepted validation of internationalized host names: A-label that decodes to a disallowed code point is invalid`,
		`accepted validation of internationalized host names: A-label that decodes to a Bidi rule violation is invalid`,
		`accepted validation of internationalized host names: a U-label whose A-label form is longer than 63 octets is invalid`,
		`accepted validation of internationalized host names: empty label between two dots is invalid`,
		`accepted validation of internationalized host names: a name longer than 253 characters is invalid`,
		`accepted validation of internationalized host names: A-label that decodes to only ASCII is invalid`,
		`accepted validation of internationalized host names: non-canonical Punycode that does not re-encode to itself is invalid`,
		`accepted validation of separators in internationalized host names: single dot`,
		`accepted validation of separators in internationalized host names: single ideographic full stop`,
		`accepted validation of separators in internationalized host names: single fullwidth full stop`,
		`accepted validation of separators in internationalized host names: single halfwidth ideographic full stop`,
		`accepted validation of separators in internationalized host names: leading dot`,
		`accepted validation of separators in internationalized host names: leading ideographic full stop`,
		`accepted validation of separators in internationalized host names: leading fullwidth full stop`,
		`accepted validation of separators in internationalized host names: leading halfwidth ideographic full stop`,
		`accepted validation of separators in internationalized host names: trailing dot`,
		`accepted validation of separators in internationalized host names: trailing ideographic full stop`,
		`accepted validation of separators in internationalized host names: trailing fullwidth full stop`,
		`accepted validation of separators in internationalized host names: trailing halfwidth ideographic full stop`,
	}},
	"format/ipv4": {"v5 parses the parts with strconv.Atoi, which takes a sign", []string{
		`accepted validation of IP addresses: plus sign is invalid`,
	}},
	"format/iri": {"v5 uses net/url, which takes nothing but an IPv6 address between brackets", []string{
		`refused validation of IRIs: an IPvFuture host with an uppercase version letter is valid`,
	}},
	"format/uri": {"v5 uses net/url, which is lax about characters that must be escaped", []string{
		`accepted validation of URIs: unescaped non US-ASCII characters`,
		`accepted validation of URIs: invalid backslash character`,
		`accepted validation of URIs: invalid " character`,
		`accepted validation of URIs: invalid <> characters`,
		`accepted validation of URIs: invalid {} characters`,
		`accepted validation of URIs: invalid ^ character`,
		"accepted validation of URIs: invalid ` character",
		`accepted validation of URIs: invalid SPACE character`,
		`accepted validation of URIs: invalid | character`,
		`accepted validation of URIs: square brackets are not allowed in a path segment`,
	}},
	"format/uri-reference": {"v5 uses net/url, which is lax about characters that must be escaped", []string{
		`accepted validation of URI References: unescaped non US-ASCII characters`,
		`accepted validation of URI References: a double quote in a path`,
		`accepted validation of URI References: square brackets outside an authority`,
		`accepted validation of URI References: more than one at-sign in the authority`,
	}},
	"format/uri-template": {"v5 asks for a URI reference with balanced braces in its path, not for RFC 6570", []string{
		`accepted format: uri-template: an empty expression is invalid`,
		`accepted format: uri-template: an empty varspec inside the variable list is invalid`,
		`refused format: uri-template: fragment expansion operator`,
		`refused format: uri-template: path segment expansion operator`,
		`refused format: uri-template: form style query expansion operator`,
		`accepted format: uri-template: a double dot in a variable name is invalid`,
		`refused format: uri-template: a four-digit prefix max-length is valid`,
		`accepted format: uri-template: a space in a literal is invalid`,
		`accepted format: uri-template: a trailing comma in the variable list is invalid`,
		`accepted format: uri-template: a default value in a varspec is invalid`,
		`accepted format: uri-template: an operator in place of the first varspec is invalid`,
	}},
}

// The optional tests of json-schema-org/JSON-Schema-Test-Suite, with formats asserted, through the public API. (Its remotes for
// other drafts are not in the corpus.)
func TestTheOptionalTestsOfTheSuiteHaveTheListedVerdicts(t *testing.T) {
	resources := corpus.SchemaRemotes(t)
	met := map[string]bool{}
	for _, c := range []struct {
		draft, pattern string
		passed, of     int
	}{
		{"draft2020-12", "optional/*.json", 147, 162},
		{"draft2020-12", "optional/format/*.json", 653, 764},
		{"draft7", "optional/*.json", 98, 118},
		{"draft7", "optional/format/*.json", 565, 676},
	} {
		passed, of := 0, 0
		got := map[string][]string{}
		corpus.SchemaGroups(t, c.draft, c.pattern, func(file string, g corpus.SchemaGroup, schema []byte) {
			file = strings.TrimPrefix(path.Join(strings.TrimPrefix(path.Dir(c.pattern), "optional"), file), "/")
			v, err := validate.New(validate.Config{Schema: schema, Resources: resources,
				Limits: validate.Limits{InsecureAllowFoldCollisions: true, Exponent: 1000}})
			for _, test := range g.Tests {
				of++
				verdict := "not compiled"
				if err == nil {
					accepted := v.Check(test.Data) == nil
					if accepted == test.Valid {
						passed++
						continue
					}
					if verdict = "refused"; accepted {
						verdict = "accepted"
					}
				}
				got[file] = append(got[file], verdict+" "+g.Description+": "+test.Description)
			}
		})
		if passed != c.passed || of != c.of {
			t.Errorf("%s %s: %d passed of %d, want %d of %d", c.draft, c.pattern, passed, of, c.passed, c.of)
		}
		for file, list := range got {
			key := file
			if _, ok := optionalDeviations[key]; !ok {
				key = c.draft + "/" + file
			}
			met[key] = true
			for _, name := range list {
				if !slices.Contains(optionalDeviations[key].tests, name) {
					t.Errorf("%s: not listed: %s", key, name)
				}
			}
			for _, name := range optionalDeviations[key].tests {
				if !slices.Contains(list, name) {
					t.Errorf("%s: %s: listed, but as the suite wants it: %s", c.draft, key, name)
				}
			}
		}
	}
	for key := range optionalDeviations {
		if !met[key] {
			t.Errorf("%s: listed, but all is as the suite wants it", key)
		}
	}
}
