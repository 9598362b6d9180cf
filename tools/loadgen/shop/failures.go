// SPDX-License-Identifier: AGPL-3.0-or-later

package shop

import (
	"fmt"
	"strings"
)

// failure makes one exception of a kind: its class, its message, and a traceback that ends in both.
// Frames are the same each time, so that a kind is one issue; only numbers in messages differ.
type failure func(m *maker, task string) (class, message, traceback string)

type frame struct {
	file string
	line int
	fn   string
	code string
}

const (
	site = "/usr/local/lib/python3.12/site-packages/"
	app  = "/srv/shop/"
)

func frames(list ...frame) string {
	var b strings.Builder
	b.WriteString("Traceback (most recent call last):\n")
	for _, f := range list {
		fmt.Fprintf(&b, "  File %q, line %d, in %s\n    %s\n", f.file, f.line, f.fn, f.code)
	}
	return b.String()
}

// celery are the frames that every traceback of a task begins with.
func celery(rest ...frame) []frame {
	return append([]frame{
		{site + "celery/app/trace.py", 453, "trace_task", "R = retval = fun(*args, **kwargs)"},
		{site + "celery/app/trace.py", 736, "__protected_call__", "return self.run(*args, **kwargs)"},
	}, rest...)
}

// own is the application's frame: the task itself.
func own(task string, line int, code string) frame {
	module, fn, _ := strings.Cut(task, ".")
	if at := strings.LastIndexByte(task, '.'); at > 0 {
		module, fn = strings.ReplaceAll(task[:at], ".", "/"), task[at+1:]
	}
	return frame{app + module + "/tasks.py", line, fn, code}
}

func providerTimeout(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("HTTPSConnectionPool(host='api.payments.example', port=443): Read timed out. (read timeout=%d)", 10)
	first := frames(
		frame{site + "urllib3/connectionpool.py", 534, "_make_request", "response = conn.getresponse()"},
		frame{site + "urllib3/connection.py", 571, "getresponse", "httplib_response = super().getresponse()"},
		frame{"/usr/local/lib/python3.12/ssl.py", 1103, "read", "return self._sslobj.read(len, buffer)"},
	) + "TimeoutError: The read operation timed out\n"
	second := frames(celery(
		own(task, 88, "answer = provider.post(path, json=body, idempotency_key=key)"),
		frame{app + "common/provider.py", 41, "post", "return self.session.post(self.base + path, json=json, timeout=TIMEOUT)"},
		frame{site + "requests/sessions.py", 637, "post", "return self.request(\"POST\", url, data=data, json=json, **kwargs)"},
		frame{site + "requests/adapters.py", 713, "send", "raise ReadTimeout(e, request=request)"},
	)...)
	return "ReadTimeout", message, first + "\nDuring handling of the above exception, another exception occurred:\n\n" +
		second + "requests.exceptions.ReadTimeout: " + message + "\n"
}

func cardDeclined(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("charge ch_%d was declined: insufficient_funds", m.between(100_000, 999_999))
	return "CardDeclined", message, frames(celery(
		own(task, 94, "raise CardDeclined.of(answer)"),
	)...) + "billing.errors.CardDeclined: " + message + "\n"
}

func smtpRefused(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("{'customer-%d': (550, b'5.1.1 mailbox unavailable')}", m.id())
	return "SMTPRecipientsRefused", message, frames(celery(
		own(task, 57, "transport.send(message)"),
		frame{app + "mail/transport.py", 33, "send", "self.smtp.send_message(message)"},
		frame{"/usr/local/lib/python3.12/smtplib.py", 987, "send_message", "return self.sendmail(from_addr, to_addrs, flatmsg, mail_options,"},
		frame{"/usr/local/lib/python3.12/smtplib.py", 901, "sendmail", "raise SMTPRecipientsRefused(senderrs)"},
	)...) + "smtplib.SMTPRecipientsRefused: " + message + "\n"
}

func connectionReset(_ *maker, task string) (class, message, traceback string) {
	message = "Error while reading from search-1.internal:9200 : (104, 'Connection reset by peer')"
	return "ConnectionError", message, frames(celery(
		own(task, 29, "client.bulk(documents)"),
		frame{app + "search/client.py", 71, "bulk", "return self.transport.perform(\"POST\", \"/_bulk\", body)"},
		frame{site + "urllib3/response.py", 748, "_error_catcher", "raise ProtocolError(f\"Connection broken: {e!r}\", e) from e"},
	)...) + "search.errors.ConnectionError: " + message + "\n"
}

func badImage(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("cannot identify image file <_io.BytesIO object at 0x7f%s>", m.hex(10))
	return "UnidentifiedImageError", message, frames(celery(
		own(task, 22, "with Image.open(BytesIO(blob)) as image:"),
		frame{site + "PIL/Image.py", 3498, "open", "raise UnidentifiedImageError(msg)"},
	)...) + "PIL.UnidentifiedImageError: " + message + "\n"
}

func softTimeLimit(*maker, string) (class, message, traceback string) {
	return "SoftTimeLimitExceeded", "SoftTimeLimitExceeded()", frames(celery(
		frame{app + "media/tasks.py", 112, "transcode_video", "process.wait()"},
		frame{"/usr/local/lib/python3.12/subprocess.py", 1264, "wait", "return self._wait(timeout=timeout)"},
		frame{site + "billiard/pool.py", 228, "soft_timeout_sighandler", "raise SoftTimeLimitExceeded()"},
	)...) + "billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded()\n"
}

// workerLost has no frames: the process that could have written them is gone.
func workerLost(m *maker, _ string) (class, message, traceback string) {
	message = fmt.Sprintf("Worker exited prematurely: signal 9 (SIGKILL) Job: %d.", m.between(1000, 9999))
	return "WorkerLostError", message, ""
}

func remoteRefused(m *maker, task string) (class, message, traceback string) {
	message = "503 Server Error: Service Unavailable for url: https://partner.example/hooks/orders"
	return "HTTPError", message, frames(celery(
		own(task, 46, "response.raise_for_status()"),
		frame{site + "requests/models.py", 1026, "raise_for_status", "raise HTTPError(http_error_msg, response=self)"},
	)...) + "requests.exceptions.HTTPError: " + message + "\n"
}

func outOfStock(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("SKU-%d: 0 left, %d wanted", m.id(), m.between(1, 5))
	return "OutOfStock", message, frames(celery(
		own(task, 31, "inventory.take(sku, quantity)"),
		frame{app + "inventory/models.py", 204, "take", "raise OutOfStock(f\"{sku}: {self.left} left, {quantity} wanted\")"},
	)...) + "inventory.errors.OutOfStock: " + message + "\n"
}

func deadlock(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("deadlock detected\nDETAIL:  Process %d waits for ShareLock on transaction %d; blocked by process %d.", m.id(), m.id(), m.id())
	return "DeadlockDetected", message, frames(celery(
		own(task, 63, "order.save(update_fields=[\"status\", \"updated_at\"])"),
		frame{site + "django/db/models/base.py", 892, "save", "self.save_base("},
		frame{site + "django/db/backends/utils.py", 105, "_execute", "return self.cursor.execute(sql, params)"},
		frame{site + "psycopg/cursor.py", 97, "execute", "raise ex.with_traceback(None)"},
	)...) + "psycopg.errors.DeadlockDetected: " + message + "\n"
}

func uniqueViolation(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("duplicate key value violates unique constraint \"customers_email_key\"\nDETAIL:  Key (id)=(%d) already exists.", m.id())
	return "IntegrityError", message, frames(celery(
		own(task, 38, "keep.absorb(other)"),
		frame{app + "customers/models.py", 141, "absorb", "Order.objects.filter(customer=other).update(customer=self)"},
		frame{site + "django/db/utils.py", 91, "__exit__", "raise dj_exc_value.with_traceback(traceback) from exc_value"},
	)...) + "django.db.utils.IntegrityError: " + message + "\n"
}

func missingKey(_ *maker, task string) (class, message, traceback string) {
	return "KeyError", "'tracking_number'", frames(celery(
		own(task, 17, "number = parcel[\"tracking_number\"]"),
	)...) + "KeyError: 'tracking_number'\n"
}

func divided(_ *maker, task string) (class, message, traceback string) {
	return "ZeroDivisionError", "division by zero", frames(celery(
		own(task, 73, "score = hits / len(signals)"),
	)...) + "ZeroDivisionError: division by zero\n"
}

func badRow(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("row %d: could not convert string to float: '1.299,00 €'", m.id())
	return "ValueError", message, frames(celery(
		own(task, 52, "for record in records(path, dialect):"),
		frame{app + "imports/reader.py", 88, "records", "yield Record(sku=row[0], price=number(row[3]))"},
		frame{app + "imports/reader.py", 24, "number", "return float(text)"},
	)...) + "ValueError: " + message + "\n"
}

func outOfMemory(m *maker, task string) (class, message, traceback string) {
	message = fmt.Sprintf("Unable to allocate %d MiB for an array with shape (%d, 64) and data type float64", m.between(900, 4000), m.id())
	return "MemoryError", message, frames(celery(
		own(task, 40, "table = frame.pivot(index=\"day\", columns=\"sku\")"),
		frame{site + "pandas/core/reshape/pivot.py", 553, "pivot", "result = indexed.unstack(columns_listlike)"},
		frame{site + "pandas/core/reshape/reshape.py", 178, "_make_selectors", "mask = np.zeros(np.prod(self.full_shape), dtype=bool)"},
	)...) + "numpy._core._exceptions._ArrayMemoryError: " + message + "\n"
}
