// SPDX-License-Identifier: AGPL-3.0-or-later

// Package harness runs the real parts of a z4j installation for the end-to-end tests: the built
// brain in a fresh home, Redis, Celery and RQ workers with the published agents, and a REST client
// that logs in as a browser does. Everything listens on free loopback ports, lives in the test's
// temporary directory and ends with the test.
package harness
