package dir

// Classify maps an error of the operating system to a cloud error.
var Classify = classify

// Absent is what a missing file of the store means.
var Absent = (*Store).absent
