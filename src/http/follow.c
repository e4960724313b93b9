/* SPDX-License-Identifier: MIT */
/*
 * See follow.h. What a request costs here beyond its exchanges: its URL parsed, and, when it asks
 * for redirects or a decoded body, a copy of its fields.
 */
#include "http/follow.h"

#include "base/err.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/proxy.h"
#include "http/redirect.h"
#include "http/undo.h"

#include <string.h>

#define URL_SHOWN_MAX 320

struct walk {
	weft_http_client *client;
	const struct http_follow_options *options;
	const weft_http_request *request; /* the caller's */
	weft_http_request hop;		  /* what is sent next */
	weft_http_url url;		  /* of hop; owned */
	weft_http_fields *fields;	  /* of hop; owned; NULL: the caller's */
	struct redirect_chain chain;
	bool decodes; /* we asked for codings */
};

/* ---- the fields ---- */

static weft_err fields_append(weft_http_fields *to, const weft_http_fields *from)
{
	const char *name, *value;
	weft_err err = WEFT_OK;

	for (size_t i = 0; from && !err && i < weft_http_fields_count(from); i++) {
		weft_http_fields_at(from, i, &name, &value);
		err = weft_http_fields_add(to, name, value);
	}
	return err;
}

static bool has_field(const weft_http_request *request, const char *name)
{
	return weft_http_fields_get(request->fields, name) ||
		weft_http_fields_get(request->origin_fields, name);
}

static weft_err fields_make(struct walk *w)
{
	const weft_http_request *request = w->request;
	const char *accepted = decode_accepted();
	weft_err err;

	w->decodes = request->decode && accepted && !has_field(request, "Accept-Encoding");
	if (!w->decodes && !request->origin_fields && !request->redirects_max)
		return WEFT_OK;
	err = weft_http_fields_create(&w->fields);
	if (!err)
		err = fields_append(w->fields, request->fields);
	if (!err && w->decodes)
		err = weft_http_fields_add(w->fields, "Accept-Encoding", accepted);
	if (!err)
		err = fields_append(w->fields, request->origin_fields);
	w->hop.fields = w->fields;
	return err;
}

/* Those that are for the first origin alone. */
static void fields_leave(struct walk *w)
{
	const weft_http_fields *secrets = w->request->origin_fields;
	const char *name;

	for (size_t i = 0; i < weft_http_fields_count(secrets); i++) {
		weft_http_fields_at(secrets, i, &name, NULL);
		(void)weft_http_fields_remove(w->fields, name);
	}
}

/* ---- a hop ---- */

static weft_err walk_begin(struct walk *w)
{
	const weft_http_request *request = w->request;
	weft_err err = WEFT_OK;

	if (request->redirects_max > REDIRECT_HOPS_MAX)
		return err_setf(WEFT_EINVAL, "redirects_max is above %d", REDIRECT_HOPS_MAX);
	w->chain.hops_max = request->redirects_max;
	w->chain.may_downgrade = request->redirects_downgrade;
	w->hop = *request;
	if (!request->url_parsed && !request->url)
		return err_setf(WEFT_EINVAL, "no URL is given");
	if (!request->url_parsed) {
		err = weft_http_url_parse(&w->url, request->url);
		w->hop.url_parsed = &w->url;
	}
	if (!err)
		err = fields_make(w);
	return err;
}

static const char *method_of(const struct walk *w)
{
	return w->hop.method ? w->hop.method : "GET";
}

static void to_get(struct walk *w)
{
	w->hop.method = "GET";
	w->hop.body = NULL;
	w->hop.body_size = 0;
	w->hop.body_read = NULL;
	w->hop.body_rewind = NULL;
	w->hop.body_length = 0;
	w->hop.trailers = NULL;
	w->hop.expect_continue = false;
}

/* The next hop is that to step's URL, which is taken. */
static weft_err walk_on(struct walk *w, struct redirect_step *step)
{
	weft_err err;

	weft_http_url_fini(&w->url);
	w->url = step->url;
	/* a server has no say in who we are there */
	w->url.userinfo = NULL;
	w->hop.url_parsed = &w->url;
	redirect_fields(w->fields, step);
	if (step->is_new_origin)
		fields_leave(w);
	if (step->is_get)
		to_get(w);
	if (!w->hop.body_read)
		return WEFT_OK;
	err = w->hop.body_rewind(w->hop.body_user);
	return err ? err_wrap(err, "sending the body again") : WEFT_OK;
}

static weft_err redirect_tell(
	const struct walk *w, weft_http_response *response, const struct redirect_step *step)
{
	char none[1], *text;
	size_t size = weft_http_url_format(&step->url, none, sizeof(none)) + 1;
	weft_err err;

	if (!w->request->on_redirect)
		return WEFT_OK;
	text = mem_alloc(size);
	if (!text)
		return err_set(WEFT_ENOMEM);
	(void)weft_http_url_format(&step->url, text, size);
	err = w->request->on_redirect(w->request->user, response, text);
	mem_free(text);
	return err;
}

/* A response came: it is the answer (*is_final), or the next hop is ready, and it is freed, as
 * after an error. */
static weft_err walk_step(struct walk *w, weft_http_response *response, bool *is_final)
{
	struct redirect_request sent = {
		.method = method_of(w), .url = w->hop.url_parsed, .body = REDIRECT_NO_BODY
	};
	struct redirect_step step = { .is_final = true };
	char from[URL_SHOWN_MAX];
	weft_err err;

	if (w->hop.body_read)
		sent.body = w->hop.body_rewind ? REDIRECT_BODY_AGAIN : REDIRECT_BODY_ONCE;
	else if (w->hop.body)
		sent.body = REDIRECT_BODY_AGAIN;
	err = redirect_next(&w->chain, &sent, weft_http_response_status(response),
		weft_http_response_fields(response), &step);
	*is_final = !err && step.is_final;
	if (*is_final)
		return WEFT_OK;
	(void)weft_http_url_format(w->hop.url_parsed, from, sizeof(from));
	if (!err) {
		err = redirect_tell(w, response, &step);
		if (err)
			weft_http_url_fini(&step.url);
	}
	/* Who redirects a body has perhaps not read it, and closes for that though its answer has
	 * promised to keep the connection, as nginx does: what may not be sent twice goes elsewhere. */
	if (!err && sent.body != REDIRECT_NO_BODY && !step.is_get)
		response->keep = false;
	/* its sender, too, is done with the body then */
	weft_http_response_free(response);
	if (!err)
		err = walk_on(w, &step);
	return err ? err_wrap(err, "http %.32s %s", sent.method, from) : WEFT_OK;
}

/* ---- the answer ---- */

static enum decode_coding coding_of(const weft_http_response *response)
{
	const weft_http_fields *fields = weft_http_response_fields(response);

	if (weft_http_fields_get_nth(fields, "Content-Encoding", 1))
		return DECODE_OTHER;
	return decode_coding_parse(weft_http_fields_get(fields, "Content-Encoding"));
}

static weft_err answer_url(const struct walk *w, weft_http_response *response)
{
	char none[1];
	size_t size = weft_http_url_format(w->hop.url_parsed, none, sizeof(none)) + 1;

	if (w->chain.hops == 0)
		return WEFT_OK;
	response->url = mem_alloc(size);
	if (!response->url)
		return err_set(WEFT_ENOMEM);
	(void)weft_http_url_format(w->hop.url_parsed, response->url, size);
	return WEFT_OK;
}

static weft_err answer(const struct walk *w, weft_http_response *response)
{
	struct decode_limits limits = { .ratio_max = w->options->ratio_max };
	enum decode_coding coding = w->decodes ? coding_of(response) : DECODE_NONE;
	weft_err err = answer_url(w, response);

	if (err || (coding != DECODE_GZIP && coding != DECODE_DEFLATE) ||
		response->state != CLIENT_BODY)
		return err;
	if (w->options->body_size_max != UINT64_MAX && !w->request->endless)
		limits.out_max = w->options->body_size_max;
	err = undo_create(&response->filter, coding, &limits);
	if (err)
		return err;
	response->length = -1;
	(void)weft_http_response_fields(response);
	(void)weft_http_fields_remove(&response->fields, "Content-Encoding");
	(void)weft_http_fields_remove(&response->fields, "Content-Length");
	return WEFT_OK;
}

weft_err http_follow(weft_http_client *client, const weft_http_request *request,
	const struct http_follow_options *options, weft_http_response **out, weft_deadline until)
{
	struct walk w = { .client = client, .options = options, .request = request };
	weft_http_response *response = NULL;
	bool is_final = false;
	weft_err err = walk_begin(&w);

	if (err)
		err = err_wrap(err, "http %.32s", request->method ? request->method : "GET");
	while (!err && !is_final) {
		if (!request->proxy && !request->unix_path && options->proxies)
			w.hop.proxy = proxies_choose(options->proxies, w.hop.url_parsed);
		err = http_client_exchange(client, &w.hop, &response, until);
		if (!err)
			err = walk_step(&w, response, &is_final);
	}
	if (!err) {
		err = answer(&w, response);
		if (err)
			weft_http_response_free(response);
		else
			*out = response;
	}
	redirect_chain_fini(&w.chain);
	weft_http_fields_free(w.fields);
	weft_http_url_fini(&w.url);
	return err;
}
