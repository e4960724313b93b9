/* SPDX-License-Identifier: MIT */
/*
 * Parts of a program that find one another by name: handlers of two tenants count into the
 * metrics of their tenant, which the first of them makes. A tenant's are let go of when it
 * leaves, in the reverse order in which they came.
 */
#include <weft/weft.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define HANDLERS 4
#define REQUESTS 1000

struct metrics {
	_Atomic unsigned requests;
	const char *tenant;
};

static void metrics_destroy(void *object)
{
	struct metrics *m = object;

	printf("%s: %u requests\n", m->tenant, atomic_load(&m->requests));
	free(m);
}

static const weft_hub_type metrics_type = { "metrics", metrics_destroy };
WEFT_HUB_TYPED(metrics, struct metrics, &metrics_type)

/* Runs once for each tenant, whoever is first. */
static weft_err metrics_make(void *arg, void **object)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return WEFT_ENOMEM;
	printf("%s: first request\n", (const char *)arg);
	m->tenant = arg;
	*object = m;
	return WEFT_OK;
}

static weft_err handler(void *arg)
{
	char *tenant = arg;
	metrics_handle handle = metrics_at(NULL, tenant, "requests");
	weft_err err = WEFT_OK;

	for (int i = 0; i < REQUESTS && !err; i++) {
		struct metrics *m = NULL;

		/* the first time a look-up, then a load */
		err = metrics_get_or_init(&handle, &m, metrics_make, tenant, WEFT_FOREVER);
		if (!err)
			atomic_fetch_add(&m->requests, 1);
	}
	metrics_handle_fini(&handle);
	return err;
}

static weft_err serve(void *arg)
{
	static char alice[] = "alice", bob[] = "bob";
	struct metrics *m;
	metrics_handle handle = metrics_at(NULL, alice, "requests");
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	(void)arg;
	for (unsigned i = 0; i < HANDLERS && !err; i++)
		err = weft_scope_spawn_on(
			scope, i % weft_worker_count(), "handler", handler, i % 2 ? bob : alice);
	/* whoever is interested may come before there is anything */
	if (!err)
		err = metrics_wait(&handle, &m, WEFT_FOREVER);
	metrics_handle_fini(&handle);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	weft_scope_free(scope);
	weft_hub_remove_scope(weft_hub_global(), alice);
	weft_hub_remove_scope(weft_hub_global(), bob);
	return err;
}

int main(void)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	weft_err err;

	options.workers = 1; /* so that the lines come in one order; any number will do */
	err = weft_run(serve, NULL, &options);
	if (err)
		fprintf(stderr, "hub: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
