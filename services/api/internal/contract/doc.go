// SPDX-License-Identifier: AGPL-3.0-or-later

// Package contract checks the API against recorded requests and answers of the release whose clients must keep
// working, and against its own OpenAPI document. It holds tests only.
//
// Every record is used twice. Its answer must fit the schema our document gives for that operation and status, with
// no member undeclared and none missing. Then the request is sent to a real brain in the order of recording, and the
// answer must have the same status, the same members of the same types, and fit the document too. Differences that
// are meant are rows of docs/rest-differences.md; a row that nothing needs any more fails the test.
//
// A group joins by putting its recording into testdata and its file name into the list in contract_test.go; what
// its records need and no record makes goes into the hooks there.
package contract
