/* SPDX-License-Identifier: MIT */
/*
 * The file of --servers, read again. First all is made that is new; when that has gone well it is put
 * in the place of what was, which can't fail: so either all of it is in effect, or nothing.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/messages.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 512 /* an event's line */

/* What is to be done about an entry of the new list. */
struct step {
	struct message_server *server;
	struct backend *backend; /* NULL: it stays as it is */
	bool is_new;
};

static void say(struct weft_bridge *b, const char *name, const char *what, const char *more)
{
	char text[TEXT_MAX];
	weft_bridge_event event = { .level = WEFT_LOG_INFO, .peer = "", .text = text };

	(void)snprintf(text, sizeof(text), "server %s %s%s", name, what, more);
	bridge_event(b, &event);
}

static struct message_server *find(const struct messages *m, const char *name)
{
	for (size_t i = 0; i < messages_count(m); i++) {
		if (strcmp(m->servers[i]->name, name) == 0)
			return m->servers[i];
	}
	return NULL;
}

static weft_err prepare(struct step *step, struct weft_bridge *b, const struct server_entry *entry)
{
	struct messages *m = b->messages;
	const struct server_entry *before = servers_find(&m->list, entry->name);
	weft_err err = WEFT_OK;

	if (before && servers_same(before, entry))
		return WEFT_OK;
	step->is_new = !before;
	step->server = find(m, entry->name);
	if (!step->server) {
		err = messages_add(b, entry, &step->server);
		if (!err)
			err = messages_accept(m, step->server);
	}
	return err ? err : backend_create(&step->backend, step->server, entry);
}

static weft_err retire_fiber(void *arg)
{
	backend_leave(arg);
	return WEFT_OK;
}

/* A shared child that nobody uses takes its time to end: whoever reloads does not wait for it. */
static void retire(struct messages *m, struct backend *backend)
{
	if (!backend)
		return;
	if (!m->sessions || weft_scope_spawn(m->sessions, "server end", retire_fiber, backend))
		backend_leave(backend);
}

static void commit(struct weft_bridge *b, struct step *steps, const struct server_list *next)
{
	struct messages *m = b->messages;

	for (size_t i = 0; i < m->list.count; i++) {
		const char *name = m->list.items[i].name;

		if (servers_find(next, name))
			continue;
		retire(m, message_server_use(find(m, name), NULL, false));
		say(b, name, "was taken out: its sessions go on, no others begin", "");
	}
	for (size_t i = 0; i < next->count; i++) {
		struct step *step = &steps[i];

		if (!step->backend)
			continue;
		retire(m, message_server_use(step->server, step->backend, !next->items[i].url));
		step->backend = NULL;
		say(b, step->server->name,
			step->is_new ? "was added: it is at "
				     : "was changed, for sessions that begin at ",
			step->server->url);
	}
}

/* With m->reloading. */
static weft_err reload(struct weft_bridge *b)
{
	struct messages *m = b->messages;
	struct server_list next = { NULL, 0 };
	struct step *steps = NULL;
	weft_err err = servers_copy(&next, &b->servers, b->servers_given);

	if (!err)
		err = servers_load(&next, b->servers_path);
	if (!err) {
		steps = mem_calloc(next.count, sizeof(*steps));
		if (!steps) {
			servers_fini(&next);
			return err_set(WEFT_ENOMEM);
		}
	}
	for (size_t i = 0; !err && i < next.count; i++)
		err = prepare(&steps[i], b, &next.items[i]);
	if (!err) {
		commit(b, steps, &next);
		servers_fini(&m->list);
		m->list = next;
	} else {
		for (size_t i = 0; steps && i < next.count; i++)
			backend_leave(steps[i].backend);
		servers_fini(&next);
	}
	mem_free(steps);
	return err;
}

void message_servers_reload(struct weft_bridge *bridge, struct faults *faults)
{
	struct messages *m = bridge->messages;
	weft_err err;

	if (!weft_in_fiber()) {
		faults_add(faults,
			err_setf(WEFT_EINVAL, "servers_file: is read again in a fiber only"));
		return;
	}
	err = weft_mutex_lock(m->reloading, WEFT_FOREVER);
	if (err) {
		faults_add(faults, err);
		return;
	}
	if (!m->is_draining)
		err = reload(bridge);
	weft_mutex_unlock(m->reloading);
	faults_add(faults, err ? err_wrap(err, "the servers stay as they were") : WEFT_OK);
}
