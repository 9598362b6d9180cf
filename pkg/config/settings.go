// SPDX-License-Identifier: AGPL-3.0-or-later

package config

// Config holds every supported setting. The tags are the single source of names, defaults, bounds and
// the reference page: `env` and `envDefault` are read by the parser; `min`, `max`, `oneof` by Load;
// `doc` by the reference page and `z4j config show`.
type Config struct {
	// Home is the state directory.
	Home string

	Server    Server
	Services  Services
	Database  Database
	Secret    Keys
	Hosts     Hosts
	Auth      Auth
	Bootstrap Bootstrap
	Agents    Agents
	Commands  Commands
	API       API
	Retention Retention
	Metrics   Metrics
	Traces    Traces
	Log       Log

	// Notices are the names of settings that were given but have no effect; see Load.
	Notices []Notice

	dev     bool
	role    string
	sources map[string]string
	given   map[string]string
}

// Server is where and how the brain listens.
type Server struct {
	BindHost           string  `env:"Z4J_BIND_HOST" envDefault:"0.0.0.0" doc:"Address to listen on."`
	BindPort           int     `env:"Z4J_BIND_PORT" envDefault:"7700" min:"1" max:"65535" doc:"Port to listen on."`
	PublicURL          string  `env:"Z4J_PUBLIC_URL" doc:"The address users see, for links and for the posture. Default: http://localhost with the port."`
	Environment        string  `env:"Z4J_ENVIRONMENT" max:"40" doc:"dev relaxes the rules for a laptop; any other label is production. Unset: dev on SQLite, production with PostgreSQL or an https public URL."`
	AllowHTTPPublicURL Bool    `env:"Z4J_ALLOW_HTTP_PUBLIC_URL" envDefault:"false" doc:"Permit an http:// public URL in production."`
	RequestTimeout     Seconds `env:"Z4J_REQUEST_TIMEOUT_SECONDS" envDefault:"30" min:"1" max:"600" doc:"Longest an API request may take, in seconds."`
	CORSOrigins        List    `env:"Z4J_CORS_ORIGINS" doc:"Origins of other sites whose pages may call the API."`
	CORSCredentials    Bool    `env:"Z4J_CORS_ALLOW_CREDENTIALS" envDefault:"true" doc:"Let those pages send cookies; impossible with the origin *."`
	HSTSMaxAge         int     `env:"Z4J_HSTS_MAX_AGE_SECONDS" envDefault:"31536000" min:"0" doc:"max-age of Strict-Transport-Security, sent in production with an https public URL."`
	HSTSSubdomains     Bool    `env:"Z4J_HSTS_INCLUDE_SUBDOMAINS" envDefault:"true" doc:"Add includeSubDomains to that header."`
	TrustedProxies     List    `env:"Z4J_TRUSTED_PROXIES" doc:"Networks or addresses whose X-Forwarded-For is believed."`
}

// Services is about the services as processes of their own.
type Services struct {
	APIURL        List    `env:"Z4J_API_URL" doc:"For z4j gateway: addresses of the api service. A name with several addresses stands for all of them and is looked up again every two seconds."`
	IngestURL     List    `env:"Z4J_INGEST_URL" doc:"For z4j gateway: addresses of the ingest service, likewise."`
	ShutdownDelay Seconds `env:"Z4J_SHUTDOWN_DELAY_SECONDS" envDefault:"0" min:"0" max:"120" doc:"How long a process that is told to stop says so on its readiness probe before it stops taking requests. Single services wait at least 2.5 seconds."`
}

// Database says which database and how.
type Database struct {
	URL             Secret `env:"Z4J_DATABASE_URL" doc:"postgres://user:password@host/name or sqlite:////absolute/path. Unset: z4j.db in the state directory. The spellings postgresql+asyncpg:// and sqlite+aiosqlite:// work too."`
	Host            string `env:"Z4J_DATABASE_HOST" doc:"PostgreSQL host; with the other four parts instead of a URL."`
	Port            string `env:"Z4J_DATABASE_PORT" doc:"PostgreSQL port."`
	User            string `env:"Z4J_DATABASE_USER" doc:"PostgreSQL user."`
	Password        Secret `env:"Z4J_DATABASE_PASSWORD" doc:"PostgreSQL password."`
	Name            string `env:"Z4J_DATABASE_NAME" doc:"PostgreSQL database."`
	PoolSize        int    `env:"Z4J_DATABASE_POOL_SIZE" envDefault:"20" min:"1" max:"200" doc:"Connections to PostgreSQL for one process, at most. serve gives one half to the API and one half to ingest and audit, so that neither can take all; a single audit service needs four."`
	StatementMS     int    `env:"Z4J_DB_STATEMENT_TIMEOUT_MS" envDefault:"10000" min:"100" max:"600000" doc:"Longest statement of a request to PostgreSQL, in milliseconds. Ingest and background work get at least 30 seconds."`
	LockMS          int    `env:"Z4J_DB_LOCK_TIMEOUT_MS" envDefault:"3000" min:"100" max:"600000" doc:"Longest wait of a request for a lock, in milliseconds. Ingest and background work get at least 10 seconds."`
	SearchIndex     Bool   `env:"Z4J_SEARCH_INDEX" envDefault:"true" doc:"Keep an index of task ids, exceptions, arguments and results, so that a search finds what is rare at once. It costs ingest a little (docs/benchmarks.md); without it a search looks through the newest tasks, a part at a time. Every process on one database must have the same value."`
	IdleInTxMS      int    `env:"Z4J_DB_IDLE_IN_TX_TIMEOUT_MS" envDefault:"30000" min:"100" max:"600000" doc:"PostgreSQL ends a transaction of a request in which nothing happens for so long, in milliseconds. Ingest and background work get at least a minute."`
	RequireSSL      Bool   `env:"Z4J_REQUIRE_DB_SSL" envDefault:"true" doc:"In production the PostgreSQL URL must carry sslmode=require, verify-ca or verify-full, unless the server is on this machine."`
	RequireRedisSSL Bool   `env:"Z4J_REQUIRE_REDIS_SSL" envDefault:"true" doc:"In production the Redis URL must be one with TLS (rediss://), unless the server is on this machine."`
	AutoMigrate     Bool   `env:"Z4J_AUTO_MIGRATE" envDefault:"true" doc:"Let serve bring the schema up to date at start."`
	CopyFrom        string `env:"Z4J_COPY_FROM" doc:"When serve finds an empty PostgreSQL: the SQLite file whose installation it copies in first. none: start anew although the state directory holds an installation."`
	RedisURL        Secret `env:"Z4J_REDIS_URL" doc:"Redis for fan-out between replicas: redis://, rediss:// (TLS), redis+sentinel://, redis+cluster://. Unset: in-process channels."`
	BusDrop         int    `env:"Z4J_BUS_DROP_PERCENT" envDefault:"0" min:"0" max:"100" doc:"Hints to lose on purpose, to test that nothing depends on them. Leave it at 0."`
}

// Keys are the secrets of the installation. On SQLite missing ones are minted into secret.env.
type Keys struct {
	Master          Secret  `env:"Z4J_SECRET" doc:"Master key, at least 32 bytes: tokens' hashes, agents' frame keys, stored secrets."`
	PreviousMasters Secrets `env:"Z4J_PREVIOUS_SECRETS" doc:"Old master keys that agents' tokens may still be hashed with."`
	Session         Secret  `env:"Z4J_SESSION_SECRET" doc:"Key of session cookies, at least 32 bytes."`
	PreviousSession Secrets `env:"Z4J_PREVIOUS_SESSION_SECRETS" doc:"Old session keys whose cookies are still accepted."`
	AuditChain      Secret  `env:"Z4J_AUDIT_CHAIN_SECRET" doc:"Key of the audit chain, at least 32 bytes. Unset: derived from Z4J_SECRET."`
	AuditPrevious   Secrets `env:"Z4J_AUDIT_CHAIN_PREVIOUS_SECRETS" doc:"Old audit keys, for verifying older rows."`
	Hop             Secret  `env:"Z4J_HOP_KEY" doc:"Key with which the gateway vouches for client addresses to the services behind it. Unset: derived from Z4J_SECRET."`
}

// Hosts is layer 1 of the Host allow-list and the address lists.
type Hosts struct {
	Allowed          List `env:"Z4J_ALLOWED_HOSTS" doc:"Accepted Host names; replaces the allowed-hosts file and auto-detection."`
	DebugErrors      Bool `env:"Z4J_DEBUG_HOST_ERRORS" envDefault:"false" doc:"Kept for old set-ups: in dev mode refusals explain themselves anyway. Refused in production."`
	DashboardIPAllow List `env:"Z4J_DASHBOARD_IP_ALLOWLIST" doc:"Networks from which people may use sessions. Empty: all."`
	APIIPAllow       List `env:"Z4J_API_IP_ALLOWLIST" doc:"Networks from which API keys work. Empty: all."`
	AgentIPAllow     List `env:"Z4J_AGENT_IP_ALLOWLIST" doc:"Networks from which agents may connect. Empty: all."`
}

// Auth is about people signing in.
type Auth struct {
	PasswordMinLength int     `env:"Z4J_PASSWORD_MIN_LENGTH" envDefault:"12" min:"8" max:"128" doc:"Shortest password."`
	Argon2Time        int     `env:"Z4J_ARGON2_TIME_COST" envDefault:"3" min:"1" max:"10" doc:"Argon2id passes."`
	Argon2MemoryKiB   int     `env:"Z4J_ARGON2_MEMORY_COST" envDefault:"65536" min:"8192" doc:"Argon2id memory in KiB."`
	Argon2Parallelism int     `env:"Z4J_ARGON2_PARALLELISM" envDefault:"4" min:"1" max:"16" doc:"Argon2id lanes."`
	SessionAbsolute   Seconds `env:"Z4J_SESSION_ABSOLUTE_LIFETIME_SECONDS" envDefault:"604800" min:"60" doc:"Longest life of a session."`
	SessionIdle       Seconds `env:"Z4J_SESSION_IDLE_TIMEOUT_SECONDS" envDefault:"1800" min:"60" doc:"A session unused this long ends."`
	SessionRemember   Seconds `env:"Z4J_SESSION_REMEMBER_ME_LIFETIME_SECONDS" envDefault:"2592000" min:"60" doc:"Life of a remembered session, without idle limit."`
	SessionPinAgent   Bool    `env:"Z4J_SESSION_PIN_USER_AGENT" envDefault:"false" doc:"End a session when the browser's user agent changes."`
	CookieSameSite    string  `env:"Z4J_SESSION_COOKIE_SAMESITE" envDefault:"lax" oneof:"lax|strict" doc:"SameSite of the session cookie."`
	LockoutThreshold  int     `env:"Z4J_LOGIN_LOCKOUT_THRESHOLD" envDefault:"10" min:"3" max:"100" doc:"Failed logins before an account is locked."`
	LockoutDuration   Seconds `env:"Z4J_LOGIN_LOCKOUT_DURATION_SECONDS" envDefault:"900" min:"60" max:"86400" doc:"How long it stays locked."`
	LoginMinDuration  int     `env:"Z4J_LOGIN_MIN_DURATION_MS" envDefault:"300" min:"0" max:"2000" doc:"Least time a login answer takes, in milliseconds."`
	SetupTokenTTL     Seconds `env:"Z4J_FIRST_BOOT_TOKEN_TTL_SECONDS" envDefault:"900" min:"60" max:"86400" doc:"Life of the setup link."`
	SetupAttempts     int     `env:"Z4J_FIRST_BOOT_ATTEMPTS_PER_IP" envDefault:"30" min:"1" max:"100" doc:"Setup attempts of an address in 15 minutes."`
}

// Bootstrap creates the first admin without the setup page.
type Bootstrap struct {
	AdminEmail       string `env:"Z4J_BOOTSTRAP_ADMIN_EMAIL" doc:"E-mail of the first admin; with the password below no setup link is needed."`
	AdminPassword    Secret `env:"Z4J_BOOTSTRAP_ADMIN_PASSWORD" doc:"Password of the first admin."`
	AdminDisplayName string `env:"Z4J_BOOTSTRAP_ADMIN_DISPLAY_NAME" doc:"Display name of the first admin."`
}

// Agents is about agent connections and what they send.
type Agents struct {
	OfflineTimeout        Seconds `env:"Z4J_AGENT_OFFLINE_TIMEOUT_SECONDS" envDefault:"30" min:"1" max:"3600" doc:"Silence before an agent counts as offline."`
	HealthSweep           Seconds `env:"Z4J_AGENT_HEALTH_SWEEP_SECONDS" envDefault:"10" min:"1" max:"300" doc:"How often that is checked."`
	LongPollRedispatch    Seconds `env:"Z4J_AGENT_LONGPOLL_REDISPATCH_SECONDS" envDefault:"60" min:"1" max:"3600" doc:"How long a dispatched command may be sent again to a polling agent."`
	LongPollRedispatchMin Seconds `env:"Z4J_AGENT_LONGPOLL_REDISPATCH_MIN_INTERVAL_SECONDS" envDefault:"10" min:"1" max:"3600" doc:"Least time between such repeats."`
	MaxFrameBytes         int     `env:"Z4J_WS_MAX_FRAME_BYTES" envDefault:"1048576" min:"8192" max:"33554432" doc:"Largest frame an agent may send."`
	MaxFrameBytesCompat   int     `env:"Z4J_MAX_WS_FRAME_BYTES" envDefault:"1048576" min:"1024" doc:"Older name of the same limit; the smaller one counts."`
	ConcurrencyCap        int     `env:"Z4J_WS_PER_AGENT_CONCURRENCY_CAP" envDefault:"64" min:"0" max:"10000" doc:"Live sockets of one agent; 0 is unlimited."`
	IdleTimeout           Seconds `env:"Z4J_WS_IDLE_TIMEOUT_SECONDS" envDefault:"90" min:"15" max:"3600" doc:"A silent agent socket is closed after this."`
	QueueSize             int     `env:"Z4J_WS_INGEST_QUEUE_MAXSIZE" envDefault:"2000" min:"16" max:"50000" doc:"Frames of one socket that may wait for the database."`
	RedactionKeys         List    `env:"Z4J_REDACTION_EXTRA_KEY_PATTERNS" doc:"Regular expressions of further argument names whose values are never stored."`
}

// Commands is about orders to agents.
type Commands struct {
	Timeout             Seconds `env:"Z4J_COMMAND_TIMEOUT_SECONDS" envDefault:"60" min:"1" max:"3600" doc:"A command without result ends as timeout after this."`
	TimeoutSweep        Seconds `env:"Z4J_COMMAND_TIMEOUT_SWEEP_SECONDS" envDefault:"5" min:"1" max:"300" doc:"How often that is checked."`
	ReconcileSweep      Seconds `env:"Z4J_RECONCILIATION_SWEEP_SECONDS" envDefault:"300" min:"30" max:"3600" doc:"How often tasks that look stuck are looked for."`
	ReconcileStaleAfter Seconds `env:"Z4J_RECONCILIATION_STALE_THRESHOLD_SECONDS" envDefault:"900" min:"60" max:"86400" doc:"Age of a started task before its agent is asked about it."`
}

// API is about the REST API.
type API struct {
	DefaultPageSize   int    `env:"Z4J_REST_DEFAULT_PAGE_SIZE" envDefault:"50" min:"1" max:"1000" doc:"Items of a page when the client names none."`
	MaxPageSize       int    `env:"Z4J_REST_MAX_PAGE_SIZE" envDefault:"500" min:"1" max:"5000" doc:"Most items of a page."`
	ProjectListCap    int    `env:"Z4J_ADMIN_PROJECT_LIST_CAP" envDefault:"500" min:"10" max:"100000" doc:"Most projects in one list."`
	ExportMaxRows     int    `env:"Z4J_TASKS_EXPORT_MAX_ROWS" envDefault:"50000" min:"100" max:"100000" doc:"Most rows of a task export."`
	OpenAPIVisibility string `env:"Z4J_OPENAPI_VISIBILITY" envDefault:"private" oneof:"public|private|disabled" doc:"Who may read the API description."`
}

// Retention is how long data is kept.
type Retention struct {
	EventDays      int     `env:"Z4J_EVENT_RETENTION_DAYS" envDefault:"30" min:"1" max:"3650" doc:"Days that events, and agents' reports about themselves, are kept."`
	TaskDays       int     `env:"Z4J_TASK_RETENTION_DAYS" envDefault:"90" min:"0" max:"3650" doc:"Days after its last change that a task is kept, at least as long as its events; 0 keeps tasks for ever. Statistics outlive them."`
	CommandDays    int     `env:"Z4J_COMMAND_RETENTION_DAYS" envDefault:"90" min:"0" max:"3650" doc:"Days that commands which have ended are kept; 0 keeps them for ever."`
	RollupDays     int     `env:"Z4J_ROLLUP_RETENTION_DAYS" envDefault:"400" min:"7" max:"3650" doc:"Days that statistics and depths of queues are kept: by the minute for four days, by the hour for thirty (depths: to the end), then by the day."`
	SessionDays    int     `env:"Z4J_SESSION_RETENTION_DAYS" envDefault:"7" min:"1" max:"3650" doc:"Days that browser sessions stay on record after their end."`
	WorkerDays     int     `env:"Z4J_WORKER_RETENTION_DAYS" envDefault:"30" min:"0" max:"3650" doc:"Days after their last sign of life that workers and queues are listed; 0 keeps them for ever."`
	StaleAgentDays int     `env:"Z4J_AGENT_STALE_PRUNE_DAYS" envDefault:"30" min:"0" max:"3650" doc:"Days after which an agent that was not seen again loses its access; 0 never."`
	AgentHygiene   Seconds `env:"Z4J_AGENT_HYGIENE_SWEEP_SECONDS" envDefault:"86400" min:"60" max:"604800" doc:"How often such agents are looked for."`
}

// Metrics is about /metrics.
type Metrics struct {
	Enabled   Bool   `env:"Z4J_METRICS_ENABLED" envDefault:"true" doc:"Serve /metrics."`
	AuthToken Secret `env:"Z4J_METRICS_AUTH_TOKEN" doc:"Bearer token of the scraper."`
	Public    Bool   `env:"Z4J_METRICS_PUBLIC" envDefault:"false" doc:"Serve /metrics to everybody."`
	Compat    Bool   `env:"Z4J_METRICS_COMPAT" envDefault:"true" doc:"Count events of tasks for /metrics/celery and /metrics/flower, which show them under the names of celery-exporter and Flower."`
	// The names of queues and tasks are texts of users, so what each may cost is bounded.
	TaskSeries int `env:"Z4J_METRICS_TASK_SERIES" envDefault:"100" min:"0" max:"5000" doc:"Pairs of queue and task name that have metrics of their own, a project; further ones count as 'other'. /metrics/celery and /metrics/flower keep ten times as many combinations of worker, queue and name."`
}

// Traces is about OpenTelemetry traces; without an endpoint there are none.
type Traces struct {
	Endpoint    Secret  `env:"Z4J_OTEL_EXPORTER_OTLP_ENDPOINT" doc:"Address of an OTLP receiver, such as http://collector:4318 (http/protobuf; /v1/traces is appended) or http://collector:4317 (grpc). Unset: no traces."`
	Protocol    string  `env:"Z4J_OTEL_PROTOCOL" envDefault:"http/protobuf" oneof:"http/protobuf|http|grpc" doc:"How traces are sent; http is short for http/protobuf."`
	Headers     Secret  `env:"Z4J_OTEL_EXPORTER_OTLP_HEADERS" doc:"Headers for the receiver, such as api-key=..., written key=value and separated by commas; values may be %-encoded."`
	SamplerArg  float64 `env:"Z4J_OTEL_TRACES_SAMPLER_ARG" envDefault:"0" min:"0" max:"1" doc:"Share of the traces begun here that are kept: 0 none, 0.05 one in twenty, 1 all. A trace begun elsewhere keeps its own decision, see Z4J_OTEL_TRUST_INCOMING."`
	ServiceName string  `env:"Z4J_OTEL_SERVICE_NAME" max:"128" doc:"service.name of the spans. Default: z4j-brain, and z4j-gateway, z4j-ingest, z4j-api, z4j-audit for single services."`
	Namespace   string  `env:"Z4J_OTEL_SERVICE_NAMESPACE" envDefault:"z4j" max:"128" doc:"service.namespace of the spans."`
	Environment string  `env:"Z4J_OTEL_ENVIRONMENT" max:"64" doc:"deployment.environment of the spans."`
	Health      Bool    `env:"Z4J_OTEL_INCLUDE_HEALTH" envDefault:"false" doc:"Trace probes and scrapes too."`
	Excluded    string  `env:"Z4J_OTEL_EXCLUDED_URL_PATTERNS" max:"512" doc:"Regular expressions, separated by commas; requests whose path matches one are not traced."`
	Trust       Bool    `env:"Z4J_OTEL_TRUST_INCOMING" envDefault:"false" doc:"Continue the trace of a traceparent header that comes from Z4J_TRUSTED_PROXIES, its sampling decision included. Only for proxies that do not pass on what clients send."`
}

// Log is about the log on stderr.
type Log struct {
	Level  string `env:"Z4J_LOG_LEVEL" envDefault:"INFO" oneof:"DEBUG|INFO|WARNING|ERROR|CRITICAL" doc:"Least level that is logged."`
	Format string `env:"Z4J_LOG_FORMAT" oneof:"json|text" doc:"Form of log lines. Unset: text in dev mode, json in production."`
	JSON   *Bool  `env:"Z4J_LOG_JSON" doc:"Older name of the same choice; wins over Z4J_LOG_FORMAT."`
}
