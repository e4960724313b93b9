/* SPDX-License-Identifier: MIT */
/* The HTTP client's pool of connections, with connections that are none; see http_pool_rows.h. */
#include "must.h"

#include "http/pool.h"

static struct pool *pool;
static struct counter made;

static void *checkout(const char *name)
{
	struct pool_request request = { { name, strlen(name) }, "", false };
	struct pool_conn *conn = NULL;
	must(pool_get(pool, &request, &conn, WEFT_FOREVER), "pool_get");
	conn->used = true;
	return conn;
}

static void checkin(void *arg)
{
	struct pool_conn *conn = arg;
	conn->idle_since = conn->taken_at; /* the client says the end of its response */
	pool_put(pool, conn);
}

static weft_err make(void *user, void *context, struct pool_dial_phase *phase,
	struct pool_conn **out, weft_deadline until)
{
	(void)user;
	(void)context;
	(void)phase;
	(void)until;
	*out = calloc(1, 256);
	if (!*out)
		bench_die("calloc");
	counter_add(&made, 1);
	return WEFT_OK;
}

static void *context_make(void *user, const void *from)
{
	(void)user;
	(void)from;
	return &made;
}

static void ignore(void *context)
{
	(void)context;
}

static void conn_close(struct pool_conn *conn)
{
	(void)conn;
}

static void destroy(struct pool_conn *conn)
{
	free(conn);
}

static const char *phase_text(unsigned phase)
{
	(void)phase;
	return "";
}

static void hosts_open(const char *const *names, int n, int idle)
{
	static const struct pool_ops ops = { make, context_make, ignore, conn_close, destroy,
		phase_text };
	struct pool_options options = { .ops = &ops,
		.conns_max = 1024,
		.conns_per_place_max = 256,
		.idle_per_place_max = SIZE_MAX,
		.waiters_max = 65536,
		.shards = 16,
		.idle_timeout_ns = INT64_C(90000000000),
		.dial_timeout_ns = INT64_MAX };
	void *conns[64];
	must(pool_create(&pool, &options), "pool_create");
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < idle; k++)
			conns[k] = checkout(names[i]);
		for (int k = 0; k < idle; k++)
			checkin(conns[k]);
	}
}

#include "http_pool_rows.h"

struct args {
	int argc;
	char **argv;
	int status;
};

static weft_err pool_main(void *arg)
{
	struct args *args = arg;
	args->status = http_pool_main(args->argc, args->argv);
	if (pool) {
		if (counter_get(&made) != HOSTS * IDLE)
			bench_die("a dial while connections were idle");
		pool_close(pool);
		pool_free(pool);
	}
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct args args = { argc, argv, 0 };
	/* the runtime is for the dials; its workers sleep while the threads are measured */
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	must(weft_run(pool_main, &args, &options), "weft_run");
	return args.status;
}
