package sanitize

import (
	"fmt"

	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// Direction is the way a text goes.
type Direction uint8

const (
	// Both directions; only in a [Rule].
	Both Direction = iota
	// Request is what the client sends.
	Request
	// Response is what the handler answers.
	Response
)

// String returns "both", "request" or "response".
func (d Direction) String() string {
	switch d {
	case Both:
		return "both"
	case Request:
		return "request"
	case Response:
		return "response"
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}

// Action is what happens to a text because of a finding. Of several the strongest wins for the whole text; the zero Action is none.
type Action uint8

const (
	// Allow leaves the text and reports nothing.
	Allow Action = iota + 1
	// Flag leaves the text and reports the finding.
	Flag
	// Redact replaces the finding's span; invisible text, controls and terminal escapes are removed without replacement.
	Redact
	// Block refuses the whole request or response.
	Block
)

// String returns the action's name in lower case.
func (a Action) String() string {
	switch a {
	case 0:
		return "none"
	case Allow:
		return "allow"
	case Flag:
		return "flag"
	case Redact:
		return "redact"
	case Block:
		return "block"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Role is whose text it is.
type Role string

// The roles of a conversation. RoleAny, the zero Role, is a text of unknown role and, in a [Rule], every role.
const (
	RoleAny       Role = ""
	RoleSystem    Role = "system" // and developer, and members like instructions
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Rule says what happens to findings of a kind.
type Rule struct {
	// Kind is the kind of finding, such as detect.KindSecret, KindInvisible or a detector's own. Empty means every kind.
	Kind string
	// Direction is where the rule holds. Zero means Both.
	Direction Direction
	// Role is whose text the rule is for. Empty means everybody's.
	Role Role
	// Action is what happens. It has no default.
	Action Action
}

// Policy is a list of rules; the first that fits a finding decides. Findings no rule fits get [DefaultPolicy], and what that
// does not know is flagged.
type Policy []Rule

// DefaultPolicy returns the rules behind every policy: secrets, e-mail addresses and card numbers are flagged in requests (a user
// may well ask about his own key, and a model that never sees it cannot help) and redacted in responses; invisible text,
// control characters and terminal escapes are removed from requests.
func DefaultPolicy() Policy {
	return Policy{
		{Kind: detect.KindSecret, Direction: Request, Action: Flag},
		{Kind: detect.KindEmail, Direction: Request, Action: Flag},
		{Kind: detect.KindCard, Direction: Request, Action: Flag},
		{Kind: detect.KindSecret, Direction: Response, Action: Redact},
		{Kind: detect.KindEmail, Direction: Response, Action: Redact},
		{Kind: detect.KindCard, Direction: Response, Action: Redact},
		{Kind: KindInvisible, Direction: Request, Action: Redact},
		{Kind: KindControl, Direction: Request, Action: Redact},
		{Kind: KindANSI, Direction: Request, Action: Redact},
		{Action: Flag},
	}
}

// action returns what happens to a finding; p must end with DefaultPolicy.
func (p Policy) action(kind string, d Direction, role Role) Action {
	for i := range p {
		r := &p[i]
		if (r.Kind == "" || r.Kind == kind) && (r.Direction == Both || r.Direction == d) && (r.Role == RoleAny || r.Role == role) {
			return r.Action
		}
	}
	return Block // not reached: the default policy ends with a rule for everything
}

func (p Policy) check() (errs []error) {
	for i, r := range p {
		bad := func(field string, value any, want string) {
			errs = append(errs, fmt.Errorf("sanitize: Policy[%d].%s: %v is not %s", i, field, value, want))
		}
		if r.Action < Allow || r.Action > Block {
			bad("Action", r.Action, "Allow, Flag, Redact or Block")
		}
		if r.Direction > Response {
			bad("Direction", r.Direction, "Both, Request or Response")
		}
		switch r.Role {
		case RoleAny, RoleSystem, RoleUser, RoleAssistant, RoleTool:
		default:
			bad("Role", r.Role, "a role of this package")
		}
		if r.Direction == Response && (r.Kind == KindInvisible || r.Kind == KindControl || r.Kind == KindANSI) && r.Action != Allow {
			bad("Direction", r.Direction, "possible for "+r.Kind+", responses are not cleaned")
		}
	}
	return errs
}
