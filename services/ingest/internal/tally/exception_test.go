// SPDX-License-Identifier: AGPL-3.0-or-later

package tally

import "testing"

func TestExceptionClass(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ValueError": "ValueError", "ValueError('out of stock')": "ValueError", "ValueError: out of stock": "ValueError",
		"shop.errors.OutOfStock: 12": "OutOfStock",
		"Traceback (most recent call last):\n  File \"x.py\", line 1, in f\nredis.exceptions.ConnectionError: refused\n": "ConnectionError",
		"Traceback (most recent call last):\n  File \"x.py\", line 1, in f\nKeyError":                                    "KeyError",
		"": unknownException, "  ": unknownException, "the disk of host 17 is full": unknownException, "[REDACTED]": unknownException, "404": unknownException,
	} {
		if got := exceptionClass(&text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := exceptionClass(nil); got != unknownException {
		t.Errorf("none: %q", got)
	}
}
