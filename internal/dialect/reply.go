package dialect

// Meanings of the places in replies. From firstOpening on Response.open is told of the container, from firstClosing on
// Response.close as well.
const (
	rModel node = iota + 100
	rID
	rObject
	rCreated
	rItemID
	rStatus
	rType
	rSeq
	rIndex
	rBlockIndex
	rFinish
	rDone
	rReasoningContent
	rReasoning
	rDetailText
	rRefusal
	rCallArguments
	rCallInput
	rFunctionArguments
	rTranscript
	rText
	rDeltaText
	rTokenText
	rThinkingText
	rPartialJSON
	rNestedText
	rOpaque
	rGenerate
	rErrorText
	rEventDelta
	rEventText
	rPartText
	rItemArguments
	rItemInput
	rItemOutput
	rCode
	rPromptTokens
	rInputTokens
	rOutputTokens
	rCachedTokens
	rCacheCreated
	rCacheRead

	rUnknown
	rAny
	rChat
	rOllama
	rChoices
	rDelta
	rContent
	rParts
	rThinkingParts
	rDetails
	rCalls
	rFunction
	rFunctionCall
	rAudio
	rLogprobs
	rTokens
	rToken
	rTokenList
	rUsageDetails
	rGroq
	rIncomplete
	rNested
	rItemContent
	rAnthropicMessage
	rAnthropicDelta
	rOllamaMessage
	rOllamaCall

	firstOpening
	rError node = iota + 99
	rUsage
	rMessage
	rBlocks
	rOutput

	firstClosing
	rInnerUsage node = iota + 98
	rInnerIncomplete
	rRepeats
	rChoice
	rCall
	rBlock
	rRootBlock
	rItem
	rRootItem
	rPart
	rRootPart
	rInner
	rAnthropic
	rResponses
)

// root is the meaning of the outermost value.
func (p *Response) root() node {
	switch p.Dialect {
	case OpenAIChat, OpenAICompletions, OpenAIEmbeddings:
		return rChat
	case OpenAIResponses:
		return rResponses
	case Anthropic:
		return rAnthropic
	case Ollama:
		return rOllama
	}
	return rUnknown
}

// replyElem is the meaning of the elements of an array.
func replyElem(parent node) node {
	switch parent {
	case rChoices:
		return rChoice
	case rCalls:
		return rCall
	case rContent, rParts:
		return rParts
	case rThinkingParts, rTokens, rTokenList, rNested, rDetails:
		return parent
	case rUnknown, rAny:
		return rAny
	case rBlocks:
		return rBlock
	case rOutput:
		return rItem
	case rItemContent:
		return rPart
	case rItemOutput:
		return rNested
	case rOpaque:
		return rOpaque
	case rOllamaCall:
		return rOllamaCall
	}
	return none
}

// replyMember is the meaning of a member of an object.
func replyMember(parent node, name []byte) node {
	switch parent {
	case rChat:
		return chatMember(name)
	case rChoice:
		switch string(name) {
		case "index":
			return rIndex
		case "delta":
			return rDelta
		case "message":
			return rMessage
		case "finish_reason":
			return rFinish
		case "text":
			return rText
		case "logprobs":
			return rLogprobs
		case "prompt_token_ids", "token_ids", "tokens", "prompt_logprobs":
			return rRepeats
		}
	case rDelta, rMessage:
		return deltaMember(name)
	case rCall:
		switch string(name) {
		case "index":
			return rIndex
		case "function", "custom":
			return rFunction
		case "id", "type":
			return ignored
		}
	case rFunction:
		switch string(name) {
		case "arguments":
			return rCallArguments
		case "input":
			return rCallInput
		case "name":
			return ignored
		}
	case rFunctionCall:
		if string(name) == "arguments" {
			return rFunctionArguments
		}
	case rParts:
		switch string(name) {
		case "text":
			return rParts
		case "thinking":
			return rThinkingParts
		case "refusal":
			return rRefusal
		}
	case rThinkingParts:
		if string(name) == "text" {
			return rThinkingParts
		}
	case rDetails:
		switch string(name) {
		case "text", "summary":
			return rDetailText
		case "data", "signature":
			return rOpaque
		}
	case rAudio:
		switch string(name) {
		case "transcript":
			return rTranscript
		case "data":
			return rOpaque
		}
	case rLogprobs:
		switch string(name) {
		case "content", "refusal":
			return rTokens
		case "tokens":
			return rTokenList
		case "top_logprobs":
			return rRepeats
		}
	case rTokens:
		switch string(name) {
		case "token", "content", "tok_str":
			return rTokenText
		case "bytes":
			return rRepeats
		case "top_logprobs", "probs", "top_probs":
			return rTokens
		}
	case rUsage, rInnerUsage:
		return usageMember(name)
	case rUsageDetails:
		if string(name) == "cached_tokens" {
			return rCachedTokens
		}
	case rGroq:
		if string(name) == "usage" {
			return rUsage
		}
	case rError:
		switch string(name) {
		case "message":
			return rErrorText
		}
	case rUnknown:
		switch string(name) {
		case "model":
			return rModel
		case "id":
			return rID
		case "usage":
			return rUsage
		case "error":
			return rError
		}
		return rAny
	case rAny:
		return rAny
	case rResponses:
		return responsesMember(name)
	case rInner:
		switch string(name) {
		case "usage":
			return rInnerUsage
		case "status":
			return rStatus
		case "incomplete_details":
			return rInnerIncomplete
		}
		return responseMember(name)
	case rInnerIncomplete, rIncomplete:
		if string(name) == "reason" {
			return rFinish
		}
	case rItem, rRootItem:
		return itemMember(name)
	case rPart, rRootPart:
		switch string(name) {
		case "type":
			return rType
		case "text":
			return rPartText
		case "refusal":
			return rRefusal
		case "transcript":
			return rTranscript
		case "logs":
			return rNestedText
		case "logprobs":
			return rTokens
		}
	case rAnthropic:
		return anthropicMember(name)
	case rAnthropicMessage:
		switch string(name) {
		case "type", "index":
			return ignored
		}
		return anthropicMember(name)
	case rAnthropicDelta:
		switch string(name) {
		case "text":
			return rText
		case "partial_json":
			return rPartialJSON
		case "thinking":
			return rThinkingText
		case "signature":
			return rOpaque
		case "citation":
			return rNested
		case "stop_reason":
			return rFinish
		case "type":
			return ignored
		}
	case rBlock, rRootBlock:
		switch string(name) {
		case "text":
			return rText
		case "thinking":
			return rThinkingText
		case "signature", "data":
			return rOpaque
		case "input":
			return rAny
		case "content", "citations":
			return rNested
		case "type", "id", "name":
			return ignored
		}
	case rNested:
		switch string(name) {
		case "text", "title", "cited_text", "document_title", "stdout", "stderr", "logs", "code", "query", "context":
			return rNestedText
		case "encrypted_content", "encrypted_index", "data", "file_data", "image_url", "signature":
			return rOpaque
		case "content", "results", "source", "output", "summary", "citations":
			return rNested
		}
	case rOllama:
		return ollamaMember(name)
	case rOllamaMessage:
		switch string(name) {
		case "content":
			return rContent
		case "thinking":
			return rThinkingText
		case "images":
			return rOpaque
		case "tool_calls":
			return rOllamaCall
		case "role":
			return ignored
		}
	case rOllamaCall:
		switch string(name) {
		case "function":
			return rOllamaCall
		case "arguments":
			return rAny
		}
	}
	return none
}

// chatMember are the members of chat and legacy completions, and of embeddings.
func chatMember(name []byte) node {
	switch string(name) {
	case "id":
		return rID
	case "object":
		return rObject
	case "created":
		return rCreated
	case "model":
		return rModel
	case "choices":
		return rChoices
	case "usage":
		return rUsage
	case "error":
		return rError
	case "x_groq":
		return rGroq
	case "completion_probabilities": // llama.cpp
		return rTokens
	case "prompt_token_ids", "token_ids", "tokens", "prompt_logprobs": // vLLM, llama.cpp
		return rRepeats
	case "system_fingerprint", "service_tier", "data":
		return ignored
	}
	return none
}

// deltaMember are the members of a chat message, whole or in pieces.
func deltaMember(name []byte) node {
	switch string(name) {
	case "content":
		return rContent
	case "role":
		return ignored
	case "refusal":
		return rRefusal
	case "reasoning_content":
		return rReasoningContent
	case "reasoning":
		return rReasoning
	case "reasoning_details":
		return rDetails
	case "tool_calls":
		return rCalls
	case "function_call":
		return rFunctionCall
	case "audio":
		return rAudio
	case "prompt_token_ids", "token_ids", "tokens":
		return rRepeats
	}
	return none
}

// usageMember are the members of usage in all dialects.
func usageMember(name []byte) node {
	switch string(name) {
	case "prompt_tokens":
		return rPromptTokens
	case "input_tokens":
		return rInputTokens
	case "completion_tokens", "output_tokens":
		return rOutputTokens
	case "prompt_tokens_details", "input_tokens_details":
		return rUsageDetails
	case "prompt_cache_hit_tokens": // DeepSeek
		return rCachedTokens
	case "cache_creation_input_tokens":
		return rCacheCreated
	case "cache_read_input_tokens":
		return rCacheRead
	case "total_tokens", "completion_tokens_details", "output_tokens_details":
		return ignored
	}
	return none
}

// responsesMember are the members of a Responses event, or of a whole reply, at its root.
func responsesMember(name []byte) node {
	switch string(name) {
	case "type":
		return rType
	case "delta":
		return rEventDelta
	case "item_id":
		return rItemID
	case "output_index":
		return rIndex
	case "content_index", "summary_index":
		return rBlockIndex
	case "sequence_number":
		return rSeq
	case "text", "refusal", "arguments", "input", "code", "transcript", "message":
		return rEventText
	case "logprobs":
		return rTokens
	case "item":
		return rRootItem
	case "part":
		return rRootPart
	case "response":
		return rInner
	case "partial_image_b64":
		return rOpaque
	case "annotation":
		return rNested
	case "incomplete_details":
		return rIncomplete
	}
	return responseMember(name)
}

// responseMember are the members of a response object. It echoes the client's instructions and tools: those are not reported.
func responseMember(name []byte) node {
	switch string(name) {
	case "id":
		return rID
	case "object":
		return rObject
	case "model":
		return rModel
	case "created_at":
		return rCreated
	case "output":
		return rOutput
	case "usage":
		return rUsage
	case "error":
		return rError
	case "status", "metadata", "instructions", "tools", "tool_choice", "temperature", "top_p", "parallel_tool_calls", "reasoning",
		"store", "truncation", "user", "background", "previous_response_id", "max_output_tokens", "service_tier":
		return ignored
	}
	return none
}

// itemMember are the members of an output item of Responses.
func itemMember(name []byte) node {
	switch string(name) {
	case "content", "summary", "outputs":
		return rItemContent
	case "arguments":
		return rItemArguments
	case "input":
		return rItemInput
	case "output":
		return rItemOutput
	case "error":
		return rNestedText
	case "code":
		return rCode
	case "queries", "results", "action":
		return rNested
	case "encrypted_content", "result":
		return rOpaque
	case "type":
		return rType
	case "id", "status", "role", "name", "call_id":
		return ignored
	}
	return none
}

// anthropicMember are the members of an Anthropic event, of the message in message_start, and of a whole reply.
func anthropicMember(name []byte) node {
	switch string(name) {
	case "type":
		return rType
	case "index":
		return rIndex
	case "delta":
		return rAnthropicDelta
	case "content_block":
		return rRootBlock
	case "message":
		return rAnthropicMessage
	case "content":
		return rBlocks
	case "id":
		return rID
	case "model":
		return rModel
	case "usage":
		return rUsage
	case "stop_reason":
		return rFinish
	case "error":
		return rError
	case "role", "stop_sequence":
		return ignored
	}
	return none
}

// ollamaMember are the members of an Ollama reply.
func ollamaMember(name []byte) node {
	switch string(name) {
	case "model":
		return rModel
	case "created_at":
		return rCreated
	case "message":
		return rOllamaMessage
	case "response":
		return rGenerate
	case "thinking":
		return rThinkingText
	case "done":
		return rDone
	case "done_reason":
		return rFinish
	case "prompt_eval_count":
		return rPromptTokens
	case "eval_count":
		return rOutputTokens
	case "error":
		return rError
	case "logprobs":
		return rTokens
	case "context":
		return rRepeats
	case "total_duration", "load_duration", "prompt_eval_duration", "eval_duration":
		return ignored
	}
	return none
}
