/* SPDX-License-Identifier: MIT */
#include "proto/http1/names.h"

const struct http1_known_name http1_known_names[HTTP1_NAME_COUNT] = {
#define KNOWN_ENTRY(name, text) [HTTP1_NAME_##name] = { text, sizeof(text) - 1 },
	HTTP1_NAME_LIST(KNOWN_ENTRY)
#undef KNOWN_ENTRY
};

const uint8_t http1_name_slots[1 << HTTP1_SLOT_BITS] = {
	[1] = HTTP1_NAME_ACCEPT_ENCODING,
	[3] = HTTP1_NAME_PROXY_CONNECTION,
	[4] = HTTP1_NAME_ORIGIN,
	[5] = HTTP1_NAME_WWW_AUTHENTICATE,
	[8] = HTTP1_NAME_RETRY_AFTER,
	[12] = HTTP1_NAME_UPGRADE,
	[15] = HTTP1_NAME_CONNECTION,
	[16] = HTTP1_NAME_CACHE_CONTROL,
	[19] = HTTP1_NAME_TE,
	[24] = HTTP1_NAME_LOCATION,
	[29] = HTTP1_NAME_MCP_PROTOCOL_VERSION,
	[34] = HTTP1_NAME_RANGE,
	[37] = HTTP1_NAME_ACCEPT_LANGUAGE,
	[39] = HTTP1_NAME_SEC_WEBSOCKET_ACCEPT,
	[46] = HTTP1_NAME_AUTHORIZATION,
	[48] = HTTP1_NAME_KEEP_ALIVE,
	[49] = HTTP1_NAME_TRANSFER_ENCODING,
	[55] = HTTP1_NAME_SEC_WEBSOCKET_VERSION,
	[56] = HTTP1_NAME_CONTENT_TYPE,
	[58] = HTTP1_NAME_TRAILER,
	[60] = HTTP1_NAME_PROXY_AUTHORIZATION,
	[62] = HTTP1_NAME_SERVER,
	[66] = HTTP1_NAME_IF_NONE_MATCH,
	[68] = HTTP1_NAME_LAST_EVENT_ID,
	[71] = HTTP1_NAME_SEC_WEBSOCKET_PROTOCOL,
	[72] = HTTP1_NAME_CONTENT_RANGE,
	[74] = HTTP1_NAME_USER_AGENT,
	[76] = HTTP1_NAME_PROXY_AUTHENTICATE,
	[80] = HTTP1_NAME_MCP_SESSION_ID,
	[81] = HTTP1_NAME_IF_MODIFIED_SINCE,
	[84] = HTTP1_NAME_ACCEPT,
	[87] = HTTP1_NAME_DATE,
	[88] = HTTP1_NAME_CONTENT_LENGTH,
	[90] = HTTP1_NAME_EXPECT,
	[97] = HTTP1_NAME_ETAG,
	[99] = HTTP1_NAME_REFERER,
	[101] = HTTP1_NAME_HOST,
	[102] = HTTP1_NAME_SEC_WEBSOCKET_EXTENSIONS,
	[103] = HTTP1_NAME_VARY,
	[108] = HTTP1_NAME_LAST_MODIFIED,
	[111] = HTTP1_NAME_ALLOW,
	[112] = HTTP1_NAME_COOKIE,
	[119] = HTTP1_NAME_CONTENT_ENCODING,
	[120] = HTTP1_NAME_SEC_WEBSOCKET_KEY,
	[122] = HTTP1_NAME_SET_COOKIE,
};

enum http1_name http1_name_of(const char *name, size_t len)
{
	return http1_name_find(name, len);
}

enum http1_method http1_method_of(const char *method, size_t len)
{
	static const struct {
		const char *text;
		size_t len;
	} methods[] = {
#define METHOD_ENTRY(name) [HTTP1_METHOD_##name] = { #name, sizeof(#name) - 1 },
		HTTP1_METHOD_LIST(METHOD_ENTRY)
#undef METHOD_ENTRY
	};

	for (size_t i = 1; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (methods[i].len == len && !memcmp(methods[i].text, method, len))
			return (enum http1_method)i;
	}
	return HTTP1_METHOD_OTHER;
}
