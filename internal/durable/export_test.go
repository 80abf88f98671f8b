package durable

// LinkNew is what Publish falls back to where RENAME_NOREPLACE is unknown.
var LinkNew = linkNew
