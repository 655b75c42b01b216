// Package compile turns a function of arrays into a Plan: it traces the function
// once per signature, improves the graph by a list of passes, lays the values
// out in memory and lets the backend prepare a Program.
//
// Its main types are Step (a function with its compiled signatures), Exec (one
// signature: graph, plan and program) and Graph (what the passes work on).
//
// It runs no kernels, takes no derivatives and knows no models.
package compile
