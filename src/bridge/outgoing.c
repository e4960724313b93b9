/* SPDX-License-Identifier: MIT */
/* How sessions are had: anything that connects. */
#include "base/err.h"
#include "base/mem.h"

#include <weft/transport.h>

struct weft_outgoing {
	const weft_outgoing_ops *ops;
	void *user;
	char *name;
};

weft_err weft_outgoing_create(
	weft_outgoing **out, const weft_outgoing_ops *ops, void *user, const char *name)
{
	weft_outgoing *outgoing;

	if (!ops || !ops->connect || !ops->free)
		return err_setf(WEFT_EINVAL, "weft_outgoing_create: %s is missing",
			!ops			? "ops"
				: !ops->connect ? "ops.connect"
						: "ops.free");
	outgoing = mem_calloc(1, sizeof(*outgoing));
	if (!outgoing)
		return err_set(WEFT_ENOMEM);
	outgoing->name = mem_strdup(name ? name : "");
	if (!outgoing->name) {
		mem_free(outgoing);
		return err_set(WEFT_ENOMEM);
	}
	outgoing->ops = ops;
	outgoing->user = user;
	*out = outgoing;
	return WEFT_OK;
}

weft_err weft_outgoing_connect(weft_outgoing *outgoing, weft_transport **out, weft_deadline until)
{
	return outgoing->ops->connect(outgoing->user, out, until);
}

void weft_outgoing_free(weft_outgoing *outgoing)
{
	if (!outgoing)
		return;
	outgoing->ops->free(outgoing->user);
	mem_free(outgoing->name);
	mem_free(outgoing);
}

const char *weft_outgoing_name(const weft_outgoing *outgoing)
{
	return outgoing->name;
}
