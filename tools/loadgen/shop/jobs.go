// SPDX-License-Identifier: AGPL-3.0-or-later

package shop

import (
	"fmt"
	"strings"
)

// job is one kind of task of the shop.
type job struct {
	name, queue string
	// weight is its share of the arrivals.
	weight float64
	// wait and run are medians in seconds of log-normal times, spread their sigma.
	wait, run, spread float64
	// fails is the share of attempts that fail, retries how often a failed one is tried again.
	fails    float64
	retries  int
	failures []failure
	priority string
	// eta is the share that is sent for later.
	eta float64
	// input makes the arguments, output the result, all as JSON.
	input  func(m *maker) (args, kwargs string)
	output func(m *maker) string
}

// worker is a process that consumes queues.
type worker struct {
	name, host  string
	hostNumber  int
	queues      []string
	concurrency int
	pid         int
	// prefork workers report through broker events, which know neither names nor results as values.
	prefork bool
}

// stalled is the queue whose worker is alive and does nothing.
const stalled = "reports"

func fleet() []worker {
	return []worker{
		{name: "web@worker-a", host: "worker-a", hostNumber: 0, queues: []string{"default", "webhooks", "search"}, concurrency: 8, pid: 4127},
		{name: "billing@worker-a", host: "worker-a", hostNumber: 0, queues: []string{"billing"}, concurrency: 4, pid: 4131},
		{name: "mail@worker-b", host: "worker-b", hostNumber: 1, queues: []string{"mail"}, concurrency: 6, pid: 977, prefork: true},
		{name: "media@worker-b", host: "worker-b", hostNumber: 1, queues: []string{"media"}, concurrency: 4, pid: 981, prefork: true},
		{name: "batch@worker-c", host: "worker-c", hostNumber: 2, queues: []string{"imports", "search", "default"}, concurrency: 8, pid: 20418, prefork: true},
		{name: "reports@worker-c", host: "worker-c", hostNumber: 2, queues: []string{stalled}, concurrency: 2, pid: 20422, prefork: true},
	}
}

// Hosts are the machines that agents run on; the last one's agent is a version behind.
func Hosts() []string { return []string{"worker-a", "worker-b", "worker-c"} }

func catalogue() []job {
	ok := func(*maker) string { return `{"ok":true}` }
	null := func(*maker) string { return "null" }
	return []job{
		{
			name: "billing.charge_card", queue: "billing", weight: 14, wait: .12, run: .7, spread: .6, fails: .015, retries: 3,
			failures: []failure{providerTimeout, cardDeclined}, priority: "high",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"amount_cents":%d,"currency":%s,"customer":{"name":%s,"country":%s},"card_number":"[REDACTED]","attempt_key":"ch_%s"}`,
					m.between(199, 48900), m.pick(`"EUR"`, `"USD"`, `"JPY"`, `"PLN"`), m.customer(), m.pick(`"DE"`, `"JP"`, `"PL"`, `"BR"`, `"EG"`), m.hex(12))
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"charge_id":"ch_%s","status":"captured","fee_cents":%d}`, m.hex(12), m.between(20, 900))
			},
		},
		{
			name: "billing.refund_payment", queue: "billing", weight: 1.5, wait: .15, run: 1.1, spread: .5, fails: .02, retries: 2,
			failures: []failure{providerTimeout}, priority: "high",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["ch_%s"]`, m.hex(12)), fmt.Sprintf(`{"reason":%s,"amount_cents":%d}`, m.pick(`"requested_by_customer"`, `"duplicate"`, `"damaged in transit"`), m.between(199, 9900))
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"refund_id":"re_%s"}`, m.hex(12)) },
		},
		{
			name: "billing.renew_subscription", queue: "billing", weight: 2, wait: .3, run: .9, spread: .6, fails: .01, retries: 2,
			failures: []failure{deadlock}, priority: "normal",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), `{"period":"month","proration":false}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"invoice":%d,"next":"2027-01-0%d"}`, m.id(), m.between(1, 9))
			},
		},
		{
			name: "mail.send_invoice", queue: "mail", weight: 9, wait: .8, run: .35, spread: .7, fails: .012, retries: 3,
			failures: []failure{smtpRefused},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"to":"[REDACTED]","locale":%s,"attach_pdf":true,"greeting":%s}`, m.pick(`"de_DE"`, `"ja_JP"`, `"pl_PL"`, `"ar_EG"`, `"en_GB"`), m.customer())
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"message_id":"<%s@mail.shop.example>"}`, m.hex(20)) },
		},
		{
			name: "mail.send_order_confirmation", queue: "mail", weight: 11, wait: .7, run: .3, spread: .6, fails: .006, retries: 3,
			failures: []failure{smtpRefused, connectionReset},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"locale":%s,"items":[{"sku":"SKU-%d","qty":%d,"title":%s}]}`, m.pick(`"de_DE"`, `"en_GB"`, `"ja_JP"`), m.id(), m.between(1, 4), m.product())
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"message_id":"<%s@mail.shop.example>"}`, m.hex(20)) },
		},
		{
			name: "mail.send_password_reset", queue: "mail", weight: 2, wait: .4, run: .25, spread: .5, fails: .004, retries: 2,
			failures: []failure{smtpRefused}, priority: "critical",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), `{"token":"[REDACTED]","ip":"203.0.113.24"}`
			},
			output: null,
		},
		{
			name: "media.make_thumbnails", queue: "media", weight: 8, wait: 1.4, run: 2.8, spread: .8, fails: .02, retries: 1,
			failures: []failure{badImage},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["products/%d/%s.jpg"]`, m.id(), m.hex(8)), `{"sizes":[[64,64],[320,240],[1280,960]],"quality":82,"strip_exif":true}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"written":3,"bytes":%d,"longest_edge":1280}`, m.between(90_000, 900_000))
			},
		},
		{
			name: "media.transcode_video", queue: "media", weight: .8, wait: 4, run: 95, spread: .7, fails: .04, retries: 1,
			failures: []failure{softTimeLimit, workerLost},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["uploads/%s.mov"]`, m.hex(10)), `{"profile":"h264-1080p","two_pass":true}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"duration_s":%d,"bitrate_kbps":%d}`, m.between(10, 400), m.between(1800, 6200))
			},
		},
		{
			name: "search.index_product", queue: "search", weight: 12, wait: .2, run: .08, spread: .6, fails: .003, retries: 2,
			failures: []failure{connectionReset},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"title":%s,"fields":["title","price","stock"]}`, m.product())
			},
			output: ok,
		},
		{
			name: "search.reindex_category", queue: "search", weight: .7, wait: .9, run: 14, spread: .9, fails: .01, retries: 1,
			failures: []failure{connectionReset},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%s]`, m.pick(`"garten"`, `"キッチン"`, `"książki"`, `"outdoor"`)), `{"batch":500}`
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"documents":%d}`, m.between(40, 9000)) },
		},
		{
			name: "webhooks.deliver", queue: "webhooks", weight: 13, wait: .25, run: .4, spread: 1, fails: .035, retries: 4,
			failures: []failure{remoteRefused, providerTimeout},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["evt_%s"]`, m.hex(10)), fmt.Sprintf(`{"url":"https://partner-%d.example/hooks/orders","event":%s,"authorization":"[REDACTED]","payload":{"order":{"id":%d,"lines":[{"sku":"SKU-%d","qty":2,"price":{"net":1290,"tax":245}}],"gift":null,"express":false}}}`,
					m.between(1, 40), m.pick(`"order.paid"`, `"order.shipped"`, `"order.cancelled"`), m.id(), m.id())
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"status":%s,"took_ms":%d}`, m.pick("200", "200", "202", "204"), m.between(40, 900))
			},
		},
		{
			name: "orders.reserve_stock", queue: "default", weight: 9, wait: .08, run: .12, spread: .5, fails: .006, retries: 2,
			failures: []failure{outOfStock, deadlock}, priority: "high",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d,[["SKU-%d",%d],["SKU-%d",1]]]`, m.id(), m.id(), m.between(1, 5), m.id()), `{}`
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"reservation":%d,"warehouse":"AMS-2"}`, m.id()) },
		},
		{
			name: "orders.update_status", queue: "default", weight: 8, wait: .06, run: .05, spread: .5, fails: .001, failures: []failure{missingKey},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d,%s]`, m.id(), m.pick(`"paid"`, `"packed"`, `"shipped"`, `"delivered"`)), `{}`
			},
			output: null,
		},
		{
			name: "orders.detect_fraud", queue: "default", weight: 4, wait: .1, run: .9, spread: .7, fails: .004, retries: 1, failures: []failure{divided},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"signals":{"velocity":%d,"country_mismatch":%s,"score":0.%d}}`, m.between(0, 9), m.pick("true", "false"), m.between(10, 99))
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"verdict":%s,"score":0.%d}`, m.pick(`"clean"`, `"clean"`, `"review"`), m.between(10, 99))
			},
		},
		{
			name: "customers.merge_duplicates", queue: "default", weight: .6, wait: .4, run: 6, spread: .9, fails: .03, retries: 1, failures: []failure{uniqueViolation}, priority: "low",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d,%d]`, m.id(), m.id()), fmt.Sprintf(`{"keep_name":%s,"dry_run":false}`, m.customer())
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"moved_orders":%d}`, m.between(0, 60)) },
		},
		{
			name:  "shop.integrations.warehouse_management.netherlands.tasks.reconcile_inventory_levels_with_supplier_catalogue_v2",
			queue: "imports", weight: .9, wait: 3, run: 31, spread: .8, fails: .05, retries: 1, failures: []failure{badRow, connectionReset}, priority: "low",
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["AMS-2","supplier-%d"]`, m.between(1, 90)), `{"since":"2026-11-20T00:00:00Z","tolerance":0.02,"notify":["ops"]}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"compared":%d,"mended":%d}`, m.between(900, 90_000), m.between(0, 80))
			},
		},
		{
			name: "newsletter.отправить_рассылку", queue: "mail", weight: 1.2, wait: 2, run: 1.6, spread: .8, fails: .01, retries: 2, failures: []failure{smtpRefused}, priority: "low", eta: .4,
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), fmt.Sprintf(`{"тема":"Скидки недели 🎁","получатель":%s}`, m.customer())
			},
			output: func(m *maker) string { return fmt.Sprintf(`"отправлено %d"`, m.between(1, 900)) },
		},
		{
			name: "marketing.send_cart_reminder", queue: "mail", weight: 2, wait: .6, run: .4, spread: .6, fails: .006, retries: 1, failures: []failure{smtpRefused}, priority: "low", eta: .7,
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), `{"voucher":null,"channel":"mail"}`
			},
			output: ok,
		},
		{
			name: "maintenance.expire_sessions", queue: "default", weight: .5, wait: .1, run: 2.2, spread: .4, fails: .002, failures: []failure{deadlock},
			input:  func(*maker) (string, string) { return `[]`, `{"older_than_days":30}` },
			output: func(m *maker) string { return fmt.Sprint(m.between(0, 4000)) },
		},
		{
			name: "maintenance.vacuum_carts", queue: "default", weight: .4, wait: .1, run: 4.8, spread: .5, fails: .002, failures: []failure{deadlock},
			input: func(*maker) (string, string) { return `[]`, `{}` }, output: null,
		},
		// The parts of canvases; they arrive only through canvases(), hence without a weight.
		{
			name: "imports.download_feed", queue: "imports", wait: 1.5, run: 9, spread: .7, fails: .02, retries: 2, failures: []failure{remoteRefused},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["https://supplier-%d.example/feed.csv.gz"]`, m.between(1, 90)), `{"timeout":60}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"path":"/data/feeds/%s.csv","bytes":%d}`, m.hex(10), m.between(10_000, 9_000_000))
			},
		},
		{
			name: "imports.parse_feed", queue: "imports", wait: .6, run: 16, spread: .8, fails: .04, failures: []failure{badRow},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["/data/feeds/%s.csv"]`, m.hex(10)), `{"dialect":"excel","encoding":"utf-8-sig"}`
			},
			output: func(m *maker) string {
				return fmt.Sprintf(`{"rows":%d,"skipped":%d}`, m.between(100, 80_000), m.between(0, 40))
			},
		},
		{
			name: "imports.apply_prices", queue: "imports", wait: .7, run: 21, spread: .7, fails: .01, retries: 1, failures: []failure{deadlock},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%d]`, m.id()), `{"round_to_cents":5}`
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"changed":%d}`, m.between(0, 9000)) },
		},
		{
			name: "reports.build_daily", queue: stalled, wait: 2, run: 5, spread: .6, fails: .005, failures: []failure{outOfMemory},
			input: func(m *maker) (string, string) {
				return `["2026-11-23"]`, fmt.Sprintf(`{"shop":%s}`, m.pick(`"de"`, `"jp"`, `"pl"`, `"br"`))
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"sections":%d}`, m.between(4, 10)) },
		},
		{
			name: "reports.render_section", queue: stalled, wait: 2.5, run: 7, spread: .8, fails: .02, retries: 1, failures: []failure{outOfMemory, divided},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`[%s]`, m.pick(`"revenue"`, `"returns"`, `"stock"`, `"visits"`, `"売上"`)), `{"format":"pdf","charts":true}`
			},
			output: func(m *maker) string { return fmt.Sprintf(`{"pages":%d}`, m.between(1, 30)) },
		},
		{
			name: "reports.publish", queue: stalled, wait: 1, run: 2, spread: .5, fails: .004, failures: []failure{connectionReset},
			input: func(m *maker) (string, string) {
				return fmt.Sprintf(`["report-%d.pdf"]`, m.id()), `{"notify":["finance"]}`
			},
			output: ok,
		},
	}
}

// repr is what Celery's events carry for a result: Python's spelling of the value.
func repr(json string) string {
	return strings.NewReplacer(`"`, `'`, "true", "True", "false", "False", "null", "None", ":", ": ", ",", ", ").Replace(json)
}
