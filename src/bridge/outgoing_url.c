/* SPDX-License-Identifier: MIT */
/* An outgoing by a URL; see outgoing_url.h. */
#include "bridge/outgoing_url.h"

#include "base/err.h"
#include "bridge/fields_file.h"

weft_err outgoing_url_make(struct outgoing_url *made, weft_outgoing **out, weft_http_client *client,
	const char *url, const struct words *lines, const char *file,
	const weft_mcp_client_options *options)
{
	weft_mcp_client_options mcp = *options;
	weft_err err = weft_http_fields_create(&made->fields);

	for (size_t i = 0; !err && lines && i < lines->count; i++) {
		err = weft_http_fields_add_line(made->fields, lines->argv[i]);
		if (err == WEFT_EINVAL)
			err = err_setf(
				WEFT_EINVAL, "\"headers\": the value of one can't be a field's");
	}
	if (!err && file)
		err = fields_file_read(made->fields, file);
	if (err)
		return err;
	made->request = (weft_http_request)WEFT_HTTP_REQUEST_DEFAULT;
	made->request.origin_fields = made->fields;
	mcp.request = &made->request;
	return weft_outgoing_mcp(out, client, url, &mcp);
}

void outgoing_url_fini(struct outgoing_url *made)
{
	weft_http_fields_free(made->fields);
	made->fields = NULL;
}
