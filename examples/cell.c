/* SPDX-License-Identifier: MIT */
/*
 * A table of routes that is looked at for every request, and replaced while requests go on:
 * nobody waits for anybody. Three handlers, on all workers, wait for a route that comes late.
 */
#include <weft/weft.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLERS 3
#define ROUTES_MAX 8
#define ROUTE_SIZE 32

/* Never changed once it is in the cell. */
struct routes {
	atomic_uint refs;
	unsigned count;
	char paths[ROUTES_MAX][ROUTE_SIZE];
};

static void routes_ref(void *value)
{
	struct routes *r = value;

	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

static void routes_unref(void *value)
{
	struct routes *r = value;

	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		free(r);
}

/* A new table: the old one's routes and one more. May be called again, with a newer one. */
static weft_err add_route(void *arg, void *old_value, void **next)
{
	const struct routes *old = old_value;
	struct routes *r = calloc(1, sizeof(*r));

	if (!r)
		return WEFT_ENOMEM;
	atomic_init(&r->refs, 1);
	if (old) {
		r->count = old->count;
		memcpy(r->paths, old->paths, sizeof(r->paths));
	}
	if (r->count < ROUTES_MAX)
		snprintf(r->paths[r->count++], ROUTE_SIZE, "%s", (const char *)arg);
	*next = r;
	return WEFT_OK;
}

/* The guarded look: no reference is counted, nothing is waited for, nothing may be inside. */
static bool is_routed(const weft_cell *cell, const char *path)
{
	const struct routes *r = weft_cell_enter(cell);
	bool found = false;

	for (unsigned i = 0; r && i < r->count && !found; i++)
		found = strcmp(r->paths[i], path) == 0;
	weft_cell_leave(cell);
	return found;
}

static weft_err handler(void *arg)
{
	weft_err err = WEFT_OK;

	while (!err && !is_routed(arg, "/late"))
		err = weft_sleep_ms(1);
	return err;
}

static weft_err start(void *arg)
{
	char early[] = "/early", late[] = "/late";
	weft_cell *cell = arg;
	weft_cell_reader *reader = NULL;
	weft_scope *scope = NULL;
	weft_err err = weft_scope_create(&scope);

	for (unsigned i = 0; i < HANDLERS && !err; i++)
		err = weft_scope_spawn_on(scope, i % weft_worker_count(), "handler", handler, cell);
	if (!err)
		err = weft_cell_update(cell, add_route, early);
	if (!err)
		err = weft_cell_reader_create(&reader, cell);
	if (!err)
		err = weft_cell_update(cell, add_route, late);
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER);
	if (!err) {
		/* a reader's value may be held across waits, until it is asked again */
		const struct routes *r = weft_cell_reader_get(reader);

		printf("%d handlers found the last of %u routes\n", HANDLERS, r->count);
	}
	weft_cell_reader_free(reader);
	weft_scope_free(scope);
	return err;
}

int main(void)
{
	const weft_cell_ops ops = { routes_ref, routes_unref };
	weft_cell *cell = NULL;
	weft_err err = weft_cell_create(&cell, NULL, &ops);

	if (!err)
		err = weft_run(start, cell, NULL);
	weft_cell_free(cell);
	if (err)
		fprintf(stderr, "cell: %s: %s\n", weft_strerror(err), weft_error_detail());
	return err ? 1 : 0;
}
