package fakedrive

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// refusal is an error as Google's APIs answer one (handle-errors).
type refusal struct {
	Code            int
	Reason, Message string
	Domain          string // "global" if empty
	Location, Type  string // what was wrong with the request: "fileId", "parameter"
	RetryAfter      int
}

func (e refusal) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.Reason, e.Message) }

func (e refusal) answer(w http.ResponseWriter) {
	detail := map[string]any{"domain": e.Domain, "reason": e.Reason, "message": e.Message}
	if e.Domain == "" {
		detail["domain"] = "global"
	}
	if e.Location != "" {
		detail["location"], detail["locationType"] = e.Location, e.Type
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	}
	answerJSON(w, e.Code, map[string]any{"error": map[string]any{
		"code": e.Code, "message": e.Message, "errors": []any{detail},
	}})
}

func answerJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("fakedrive: internal error: %v", err))
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

func notFound(id string) refusal {
	return refusal{Code: 404, Reason: "notFound", Message: "File not found: " + id + ".", Location: "fileId", Type: "parameter"}
}

func invalid(parameter string) refusal {
	return refusal{Code: 400, Reason: "invalid", Message: "Invalid Value", Location: parameter, Type: "parameter"}
}

func badRequest(message string) refusal {
	return refusal{Code: 400, Reason: "badRequest", Message: message}
}

var (
	errCredentials = refusal{Code: 401, Reason: "authError", Message: "Invalid Credentials", Location: "Authorization", Type: "header"}
	errNoLogin     = refusal{Code: 401, Reason: "required", Message: "Login Required.", Location: "Authorization", Type: "header"}
	errScope       = refusal{Code: 403, Reason: "insufficientPermissions", Message: "Request had insufficient authentication scopes."}
	errSpaces      = refusal{Code: 403, Reason: "insufficientScopes", Message: "The granted scopes do not give access to all of the requested spaces.", Location: "spaces", Type: "parameter"}
	errFull        = refusal{Code: 403, Reason: "storageQuotaExceeded", Message: "The user's Drive storage quota has been exceeded."}
	errAppData     = refusal{Code: 403, Reason: "notSupportedForAppDataFolderFiles", Message: "Files within the application data folder cannot be trashed."}
	errAppMove     = refusal{Code: 403, Reason: "notSupportedForAppDataFolderFiles", Message: "Method not supported for files within the Application Data folder."}
	errFields      = refusal{Code: 400, Reason: "required", Message: "The 'fields' parameter is required for this method.", Location: "fields", Type: "parameter"}
	errRange       = refusal{Code: 416, Reason: "requestedRangeNotSatisfiable", Message: "Request range not satisfiable", Location: "Range", Type: "header"}
	errSession     = refusal{Code: 404, Reason: "notFound", Message: "Not Found"}
	errNoContent   = refusal{Code: 403, Reason: "fileNotDownloadable", Message: "Only files with binary content can be downloaded. Use Export with Docs Editors files.", Location: "alt", Type: "parameter"}
)
