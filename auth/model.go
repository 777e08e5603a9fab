package auth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// ModelHandler returns a handler that checks the caller's list of models, and stands inside [Gate.Handler] and after the body
// was validated. It checks the model that will be dispatched: the one the rooms before it agreed on, else the one the body
// names, and with it those that the request names in its path and query (see Config.RequestModels). A request that names two is
// refused with 400, whoever sends it: which of them runs would be for the server behind to say.
//
// It stands behind the router: in front of it the wildcards of the route are not known yet. When next is an [http.ServeMux] it is asked
// which route will be taken, and one with wildcards is refused to callers with a list unless Config.RequestModels is set; other routers
// cannot be asked, and a ModelHandler in front of them checks the body and the query alone.
//
// A caller with a list may not name further models in the body either, by which some gateways run what the first one refuses: a top-level
// member "models" (OpenRouter), or one with "fallback" in its name (LiteLLM), is 403.
//
// A caller without a list passes, and the body is not read for it: one that no room has read is not compared. A caller with a list is
// refused when the model is not on it, when the request names none, or when the body is there and cannot be read as JSON: what
// cannot be checked is not allowed. A request without a caller is refused as unauthenticated. It panics when next is nil.
func (g *Gate) ModelHandler(next http.Handler) http.Handler {
	return g.modelHandler(next, true)
}

// NamedModelHandler is [Gate.ModelHandler] for routes that take no body and whose requests need not name a model: one that names none
// passes. It does not look at the body; stand it behind what refuses one. A caller with a list is refused where the route's pattern is not known
// (request.Pattern, which ServeMux and routers like it set) and Config.RequestModels is not set: the path may name any model.
func (g *Gate) NamedModelHandler(next http.Handler) http.Handler {
	return g.modelHandler(next, false)
}

func (g *Gate) modelHandler(next http.Handler, inBody bool) http.Handler {
	if next == nil {
		panic("auth: Gate.ModelHandler: next is nil")
	}
	return g.inside(next, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, p *Principal) error {
		if p.Models != nil && g.models == nil && hidesModel(r, next, inBody) {
			return modelNotAllowed(p, errUnrouted)
		}
		names, err := g.requestModels(r)
		if p.Models == nil {
			err = nil // what nobody can read is compared with nothing
		} else if err == nil && x.BodyHidden() {
			err = AuthorizeModel(p, "") // a form with files, say: what it names cannot be checked
		}
		if err != nil {
			return err
		}
		inIt, read, err := g.bodyModel(x, w, r, p, inBody)
		if err != nil {
			return err
		}
		if inIt != "" {
			names = append(names, inIt)
		}
		model := ""
		for _, name := range names {
			if name != names[0] {
				return errTwoModels
			}
			model = name
		}
		if len(names) == 0 && !inBody {
			return nil
		}
		if err := AuthorizeModel(p, model); err != nil {
			return err
		}
		if read || (r.Body == nil || r.Body == http.NoBody) && !x.BodyHidden() {
			x.SetModel(model) // the rooms inside take it for the last word, so not while a body may name another
		}
		return nil
	})
}

// bodyModel returns the model that the rooms before agreed on, else the one that the body names, and whether the body was read. It reads
// the body for a caller with a list only, who is refused when it cannot be checked.
func (g *Gate) bodyModel(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, p *Principal, inBody bool) (model string, read bool, err error) {
	model = x.Model()
	body, read := x.ReadBytes()
	if inBody && model == "" && p.Models != nil {
		if body, err = x.ReadBody(w, r, g.maxBody); err != nil {
			return "", false, &bodyError{err}
		}
		read = true
	}
	if !read || len(body) == 0 {
		return model, read, nil
	}
	q := x.Request(body)
	if p.Models != nil && q != nil && q.MoreModels {
		return "", read, modelNotAllowed(p, errMoreModels)
	}
	if inBody && model == "" {
		switch {
		case q != nil && saysJSON(r): // a form may be read out of the same bytes, and name another
			model = q.Model
		case p.Models != nil: // who can read it may find a model there
			return "", read, AuthorizeModel(p, "")
		}
	}
	return model, read, nil
}

func modelNotAllowed(p *Principal, reason error) error {
	return &Error{Code: CodeModelNotAllowed, KeyID: p.KeyID, Err: reason}
}

// hidesModel reports whether the path may name a model that r.PathValue does not know yet.
func hidesModel(r *http.Request, next http.Handler, inBody bool) bool {
	if mux, ok := next.(*http.ServeMux); ok {
		_, pattern := mux.Handler(r)
		return strings.Contains(pattern, "{") && !strings.HasSuffix(pattern, "{$}")
	}
	return !inBody && r.Pattern == ""
}

var errUnrouted = fmt.Errorf("%w: the path may name one, and the route is not known yet: stand behind the router, or set Config.RequestModels", ErrModelNotAllowed)

var errMoreModels = fmt.Errorf("%w: the body names further models (models, fallbacks)", ErrModelNotAllowed)

var errTwoModels = &Error{Code: CodeInvalidRequest, Err: ErrAmbiguousModel}

// requestModels returns the models that r names outside its body.
func (g *Gate) requestModels(r *http.Request) (names []string, err error) {
	if g.models != nil {
		return slices.Clip(g.models(r)), nil // the names of the body are appended
	}
	if name := r.PathValue("model"); name != "" {
		names = append(names, name)
	}
	if r.URL == nil || r.URL.RawQuery == "" {
		return names, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	for k, v := range query {
		if strings.EqualFold(k, "model") {
			names = append(names, v...)
		}
	}
	if err != nil {
		return names, errTwoModels // what net/http drops of it, another reader may take
	}
	return names, nil
}
