/* SPDX-License-Identifier: MIT */
/* A pool as it is written by hand, beside http_pool.c: a table of hosts, each with a list of idle
 * connections, and one mutex over all. */
#include "../bench.h"

struct conn {
	struct conn *next;
	struct host *host;
	int64_t idle_since;
};

struct host {
	struct host *next;
	char name[32];
	struct conn *idle;
};

enum { BUCKETS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct host *buckets[BUCKETS];

/* FNV-1a */
static unsigned bucket_of(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325;
	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3;
	return (unsigned)(hash ^ hash >> 32) % BUCKETS;
}

static void *checkout(const char *name)
{
	unsigned bucket = bucket_of(name);
	int64_t now = bench_now_ns();
	pthread_mutex_lock(&lock);
	struct host *host = buckets[bucket];
	while (host && strcmp(host->name, name))
		host = host->next;
	struct conn *conn = host ? host->idle : NULL;
	if (conn)
		host->idle = conn->next;
	pthread_mutex_unlock(&lock);
	if (!conn || now - conn->idle_since > INT64_C(90000000000))
		bench_die("none is idle");
	conn->idle_since = now;
	return conn;
}

static void checkin(void *arg)
{
	struct conn *conn = arg;
	pthread_mutex_lock(&lock);
	conn->next = conn->host->idle;
	conn->host->idle = conn;
	pthread_mutex_unlock(&lock);
}

static void hosts_open(const char *const *names, int n, int idle)
{
	for (int i = 0; i < n; i++) {
		struct host *host = calloc(1, sizeof *host);
		if (!host)
			bench_die("calloc");
		snprintf(host->name, sizeof host->name, "%s", names[i]);
		host->next = buckets[bucket_of(names[i])];
		buckets[bucket_of(names[i])] = host;
		for (int k = 0; k < idle; k++) {
			struct conn *conn = calloc(1, sizeof *conn);
			if (!conn)
				bench_die("calloc");
			conn->host = host;
			conn->idle_since = bench_now_ns();
			checkin(conn);
		}
	}
}

#include "../http_pool_rows.h"

int main(int argc, char **argv)
{
	return http_pool_main(argc, argv);
}
