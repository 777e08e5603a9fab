package audit

// Schema is the number in the "schema" member of every line. It changes when a member changes its meaning or its name; new
// members may appear under the same number.
const Schema = 1

// Bounds of one line. Text bounds count bytes as written, escapes included.
const (
	// MaxLine is the most bytes one event takes, without a captured payload.
	MaxLine = 8 << 10
	// MaxAttrs is the most attributes of one event (Annotate, Event.Attrs). Further ones are counted in x.attrs_dropped.
	MaxAttrs = 16
	// MaxFindings is the most different findings of one event. Equal ones are counted; further ones are in
	// x.findings_dropped.
	MaxFindings = 12

	maxAttrKey   = 48
	maxAttrValue = 256
	maxFinding   = 40
	maxWord      = 16
	gapReserve   = 512 // what an audit.gap line may take beyond the bounds of a queue
)

// field is one member of the line. The order of the constants is the order in every line.
type field uint8

const (
	fTime field = iota
	fName
	fStage
	fRequestID
	fTraceID
	fSpanID
	fClientAddress
	fClientNet
	fClientHMAC
	fMethod
	fRoute
	fStatus
	fRequestSize
	fResponseSize
	fAborted
	fHijacked
	fAuthScheme
	fAuthOutcome
	fAuthIssuer
	fAuthSubject
	fAuthTenant
	fAuthClientID
	fAuthKeyID
	fAuthPlan
	fRateLimit
	fValidate
	fSanitize
	fFindings
	fFindingsDropped
	fOperation
	fModel
	fStream
	fResponseModel
	fFinish
	fFirstChunk
	fInputTokens
	fCachedTokens
	fOutputTokens
	fUsageEstimated
	fTokensPerSecond
	fDuration
	fCost
	fErrorType
	fErrorStage
	fErrorCause
	fGapCount
	fGapFirst
	fGapLast
	fGapReason
	fGapSink
	fFileEvent
	fFileBytes
	fFileAside
	fAttrsDropped
	fCaptureLevel
	fBodyBytes
	fBodyComplete
	fBodyHMAC
	fSealed
	fText
	fCaptureFailed
	numFields
)

// fields gives name and bound of every member. Names are those of the OpenTelemetry semantic conventions (general, HTTP and
// GenAI) where these have one; own names begin with the room or with "x.".
var fields = [numFields]struct {
	name  string
	limit int
}{
	fTime:            {name: "time"},
	fName:            {"event.name", 64},
	fStage:           {"stage", 16},
	fRequestID:       {"request.id", 128},
	fTraceID:         {"trace_id", 32},
	fSpanID:          {"span_id", 16},
	fClientAddress:   {"client.address", 64},
	fClientNet:       {"client.net", 64},
	fClientHMAC:      {"client.hmac", 64},
	fMethod:          {"http.request.method", 16},
	fRoute:           {"http.route", 256},
	fStatus:          {name: "http.response.status_code"},
	fRequestSize:     {name: "http.request.body.size"},
	fResponseSize:    {name: "http.response.body.size"},
	fAborted:         {name: "http.client_aborted"},
	fHijacked:        {name: "http.hijacked"},
	fAuthScheme:      {"auth.scheme", 64},
	fAuthOutcome:     {"auth.outcome", 16},
	fAuthIssuer:      {"auth.issuer", 128},
	fAuthSubject:     {"auth.subject", 128},
	fAuthTenant:      {"auth.tenant", 128},
	fAuthClientID:    {"auth.client_id", 128},
	fAuthKeyID:       {"auth.key_id", 128},
	fAuthPlan:        {"auth.plan", 64},
	fRateLimit:       {"ratelimit.outcome", 16},
	fValidate:        {"validate.outcome", 16},
	fSanitize:        {"sanitize.outcome", 16},
	fFindings:        {"sanitize.findings", maxFinding},
	fFindingsDropped: {name: "x.findings_dropped"},
	fOperation:       {"gen_ai.operation.name", 32},
	fModel:           {"gen_ai.request.model", 256},
	fStream:          {name: "gen_ai.request.stream"},
	fResponseModel:   {"gen_ai.response.model", 128},
	fFinish:          {"gen_ai.response.finish_reasons", 64},
	fFirstChunk:      {name: "gen_ai.response.time_to_first_chunk"},
	fInputTokens:     {name: "gen_ai.usage.input_tokens"},
	fCachedTokens:    {name: "gen_ai.usage.cache_read.input_tokens"},
	fOutputTokens:    {name: "gen_ai.usage.output_tokens"},
	fUsageEstimated:  {name: "x.usage_estimated"},
	fTokensPerSecond: {name: "x.tokens_per_second"},
	fDuration:        {name: "x.duration_ms"},
	fCost:            {name: "x.cost_microusd"},
	fErrorType:       {"error.type", 64},
	fErrorStage:      {"x.error.stage", 32},
	fErrorCause:      {"x.error.cause", 512},
	fGapCount:        {name: "x.gap.count"},
	fGapFirst:        {name: "x.gap.first"},
	fGapLast:         {name: "x.gap.last"},
	fGapReason:       {"x.gap.reason", 32},
	fGapSink:         {"x.gap.sink", 64},
	fFileEvent:       {"x.file.event", 32},
	fFileBytes:       {name: "x.file.bytes"},
	fFileAside:       {"x.file.aside", 255},
	fAttrsDropped:    {name: "x.attrs_dropped"},
	fCaptureLevel:    {"x.capture", 16},
	fBodyBytes:       {name: "x.body.bytes"},
	fBodyComplete:    {name: "x.body.complete"},
	fBodyHMAC:        {"x.body.hmac", 128},
	fSealed:          {name: "x.body.sealed"},
	fText:            {name: "x.body.text"},
	fCaptureFailed:   {"x.capture_failed", 32},
}

// prefixes are the members with the comma before and the colon behind them.
var prefixes = func() (t [numFields]string) {
	for f := range fields {
		t[f] = `,"` + fields[f].name + `":`
	}
	return t
}()

// maxLists bounds the x.trimmed and x.escaped members, as far as they name members of the schema.
var maxLists = func() int {
	n := len(`,"x.trimmed":[],"x.escaped":[]}`) + 1
	for f := range fields {
		if fields[f].limit > 0 || field(f) == fText {
			n += 2 * (len(fields[f].name) + len(`"",`))
		}
	}
	return n
}()
