package dir

// Classify maps an error of the operating system to a cloud error.
var Classify = classify
