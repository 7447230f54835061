// Package modelserver plays a model's server by a script, so that real agent programs can be driven
// offline: OpenAI Responses, Anthropic Messages, Chat Completions and Gemini, streaming or not, all on one
// loopback address and told apart by the path.
//
//	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{
//		modelserver.Write("hello.txt", "hi\n"), modelserver.Text("done"),
//	}})
//	// point the agent at s.URL with s.Key
//
// A script names intents; which tool of the agent performs one is chosen from the tools that the request
// itself offers. Which step a request meets is counted from the tool results (and the script's own texts)
// in it, not from requests, because agents retry and make side calls. A request that offers no tools gets a
// short text and does not advance. Paths may begin with /a/ID: every ID is an attempt of its own.
//
// It guarantees that equal conversations get equal replies, that every reply keeps to its wire's form unless
// a fault says otherwise, and that bodies stay in memory. It must not know: plugins, the host, any agent's
// name.
package modelserver
