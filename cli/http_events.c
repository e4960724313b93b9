/* SPDX-License-Identifier: MIT */
/* weft http --sse: events as they come, over as many connections as it takes. */
#include "http.h"
#include "say.h"

#include <string.h>

/* The event in its form on the wire. */
static weft_err event_write(struct http_command *c, const weft_sse_event *event)
{
	weft_sse_event out = *event;
	weft_buf text = WEFT_BUF_EMPTY;
	weft_err err;

	/* what goes without saying */
	if (strcmp(out.type, "message") == 0)
		out.type = NULL;
	if (*out.id == '\0')
		out.id = NULL;
	err = weft_sse_write_buf(&text, NULL, &out);
	if (err) {
		say("an event can't be written: %s", weft_error_detail());
		return err;
	}
	err = sink_write(&c->sink, text.data, text.len);
	weft_buf_unref(&text);
	return err;
}

/* Whether the client has to be asked again. */
static bool goes_on(weft_err err)
{
	return !err || err == WEFT_ERESET || err == WEFT_EMSGSIZE;
}

static weft_err receive(struct http_command *c, weft_sse_client *sse)
{
	weft_sse_event event;
	uint64_t shown = 0;
	weft_err err = WEFT_OK;

	while (goes_on(err)) {
		const weft_http_response *response = weft_sse_client_response(sse);

		if (c->args.is_verbose && response && weft_sse_client_reconnects(sse) >= shown) {
			sink_bar_hide(&c->sink);
			http_show_response(response);
			shown = weft_sse_client_reconnects(sse) + 1;
		}
		err = weft_sse_client_next(sse, &event, c->until);
		if (!err) {
			weft_err written = event_write(c, &event);

			if (written)
				return written == WEFT_ECLOSED ? WEFT_OK : written;
		} else if (goes_on(err)) {
			sink_bar_hide(&c->sink);
			say("%s", weft_error_detail());
		}
	}
	sink_bar_end(&c->sink, err == WEFT_ECLOSED);
	/* 204: the server has no more to say, which is an end in order */
	if (err == WEFT_ECLOSED)
		return WEFT_OK;
	if (err == WEFT_ETIMEDOUT)
		say("event stream %s: %s", c->args.url, weft_error_detail());
	else if (err != WEFT_ECANCELED)
		say("%s", weft_error_detail());
	return err;
}

void http_events(struct http_command *c)
{
	weft_sse_client_options options = WEFT_SSE_CLIENT_OPTIONS_DEFAULT;
	weft_sse_client *sse = NULL;
	weft_err err;

	c->request.method = NULL;
	c->request.url = NULL;
	options.request = &c->request;
	if (c->args.connect_timeout_ns > 0)
		options.connect_timeout_ns = c->args.connect_timeout_ns;
	err = weft_sse_client_open(&sse, c->client, c->args.url, &options, c->until);
	if (err && err != WEFT_ECANCELED)
		say("%s", weft_error_detail());
	if (!err) {
		err = sink_open(&c->sink, c->args.output, -1, c->until);
		if (!err)
			err = receive(c, sse);
	}
	if (err)
		c->status = err == WEFT_EINVAL ? EXIT_USAGE : EXIT_WORLD;
	weft_sse_client_free(sse);
}
