/* SPDX-License-Identifier: MIT */
/* Where sessions come from: anything that accepts; this process's stdin and stdout; a listener. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/transport.h"

struct weft_incoming {
	const weft_incoming_ops *ops;
	void *user;
	char *name;
};

weft_err weft_incoming_create(
	weft_incoming **out, const weft_incoming_ops *ops, void *user, const char *name)
{
	weft_incoming *incoming;

	if (!ops || !ops->accept || !ops->close || !ops->free)
		return err_setf(WEFT_EINVAL, "weft_incoming_create: %s is missing",
			!ops		       ? "ops"
				: !ops->accept ? "ops.accept"
				: !ops->close  ? "ops.close"
					       : "ops.free");
	incoming = mem_calloc(1, sizeof(*incoming));
	if (!incoming)
		return err_set(WEFT_ENOMEM);
	incoming->name = mem_strdup(name ? name : "");
	if (!incoming->name) {
		mem_free(incoming);
		return err_set(WEFT_ENOMEM);
	}
	incoming->ops = ops;
	incoming->user = user;
	*out = incoming;
	return WEFT_OK;
}

weft_err weft_incoming_accept(weft_incoming *incoming, weft_transport **out, weft_deadline until)
{
	return incoming->ops->accept(incoming->user, out, until);
}

void weft_incoming_close(weft_incoming *incoming)
{
	incoming->ops->close(incoming->user);
}

void weft_incoming_free(weft_incoming *incoming)
{
	if (!incoming)
		return;
	incoming->ops->close(incoming->user);
	incoming->ops->free(incoming->user);
	mem_free(incoming->name);
	mem_free(incoming);
}

const char *weft_incoming_name(const weft_incoming *incoming)
{
	return incoming->name;
}
