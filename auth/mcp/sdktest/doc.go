// Package sdktest leads the official Go client of the Model Context Protocol through the doors of package mcp: discovery, 401, token, 403,
// step-up. It has tests only, in a module of its own, so that nobody's module graph grows by the client.
package sdktest
