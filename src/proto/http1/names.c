/* SPDX-License-Identifier: MIT */
/* Names and methods that are told apart: one multiplication, one compare. */
#include "proto/http1/http1.h"

#include <string.h>

#define NAME_LEN_MAX 24 /* the longest of them */
#define SLOT_BITS 7
/* Found by trying: no two names fall into the same slot (tested). */
#define SLOT_FACTOR 0x36f1a8edu
#define LOWER8 UINT64_C(0x2020202020202020)

struct known {
	uint8_t len;
	char text[NAME_LEN_MAX + 1];
};

static const struct known known[HTTP1_NAME_COUNT] = {
#define KNOWN_ENTRY(name, text) [HTTP1_NAME_##name] = { sizeof(text) - 1, text },
	HTTP1_NAME_LIST(KNOWN_ENTRY)
#undef KNOWN_ENTRY
};

/* Length, first, middle and last character tell all names apart; letters may be of either case. */
static inline unsigned slot_of(const char *name, size_t len)
{
	uint32_t key = (uint32_t)len | (uint32_t)((uint8_t)name[0] | 32) << 8 |
		(uint32_t)((uint8_t)name[len - 1] | 32) << 16 |
		(uint32_t)((uint8_t)name[len / 2] | 32) << 24;

	return key * SLOT_FACTOR >> (32 - SLOT_BITS);
}

/* enum http1_name by slot; 0: none. */
static const uint8_t slots[1 << SLOT_BITS] = {
	[1] = HTTP1_NAME_ORIGIN,
	[4] = HTTP1_NAME_IF_NONE_MATCH,
	[5] = HTTP1_NAME_HOST,
	[6] = HTTP1_NAME_SEC_WEBSOCKET_PROTOCOL,
	[8] = HTTP1_NAME_CONTENT_TYPE,
	[10] = HTTP1_NAME_TE,
	[14] = HTTP1_NAME_SET_COOKIE,
	[17] = HTTP1_NAME_UPGRADE,
	[18] = HTTP1_NAME_ALLOW,
	[19] = HTTP1_NAME_AUTHORIZATION,
	[20] = HTTP1_NAME_CACHE_CONTROL,
	[21] = HTTP1_NAME_RANGE,
	[32] = HTTP1_NAME_ACCEPT_ENCODING,
	[36] = HTTP1_NAME_CONTENT_RANGE,
	[37] = HTTP1_NAME_DATE,
	[40] = HTTP1_NAME_SERVER,
	[44] = HTTP1_NAME_MCP_SESSION_ID,
	[45] = HTTP1_NAME_CONTENT_ENCODING,
	[53] = HTTP1_NAME_ACCEPT_LANGUAGE,
	[55] = HTTP1_NAME_TRAILER,
	[57] = HTTP1_NAME_COOKIE,
	[58] = HTTP1_NAME_SEC_WEBSOCKET_ACCEPT,
	[62] = HTTP1_NAME_LAST_MODIFIED,
	[66] = HTTP1_NAME_PROXY_AUTHENTICATE,
	[68] = HTTP1_NAME_MCP_PROTOCOL_VERSION,
	[74] = HTTP1_NAME_PROXY_CONNECTION,
	[76] = HTTP1_NAME_KEEP_ALIVE,
	[79] = HTTP1_NAME_IF_MODIFIED_SINCE,
	[80] = HTTP1_NAME_VARY,
	[82] = HTTP1_NAME_LOCATION,
	[85] = HTTP1_NAME_PROXY_AUTHORIZATION,
	[86] = HTTP1_NAME_EXPECT,
	[90] = HTTP1_NAME_SEC_WEBSOCKET_VERSION,
	[95] = HTTP1_NAME_CONTENT_LENGTH,
	[99] = HTTP1_NAME_TRANSFER_ENCODING,
	[103] = HTTP1_NAME_SEC_WEBSOCKET_KEY,
	[107] = HTTP1_NAME_CONNECTION,
	[108] = HTTP1_NAME_REFERER,
	[110] = HTTP1_NAME_RETRY_AFTER,
	[115] = HTTP1_NAME_ACCEPT,
	[117] = HTTP1_NAME_WWW_AUTHENTICATE,
	[120] = HTTP1_NAME_USER_AGENT,
	[123] = HTTP1_NAME_ETAG,
	[124] = HTTP1_NAME_LAST_EVENT_ID,
	[126] = HTTP1_NAME_SEC_WEBSOCKET_EXTENSIONS,
};

static inline uint64_t load8(const char *p)
{
	uint64_t value;

	memcpy(&value, p, 8);
	return value;
}

static inline uint32_t load4(const char *p)
{
	uint32_t value;

	memcpy(&value, p, 4);
	return value;
}

/* The case of letters is one bit. Others that differ in that bit alone: none of them is both in a
 * token and in one of the names. */
static inline bool same_as(const char *text, const char *name, size_t len)
{
	uint64_t differ;

	if (len >= 8) {
		differ = (load8(text) | LOWER8) ^ load8(name);
		differ |= (load8(text + len - 8) | LOWER8) ^ load8(name + len - 8);
		if (len > 16)
			differ |= (load8(text + 8) | LOWER8) ^ load8(name + 8);
		return differ == 0;
	}
	if (len >= 4) {
		differ = (load4(text) | (uint32_t)LOWER8) ^ load4(name);
		differ |= (load4(text + len - 4) | (uint32_t)LOWER8) ^ load4(name + len - 4);
		return differ == 0;
	}
	differ = 0;
	for (size_t i = 0; i < len; i++)
		differ |= (uint8_t)((text[i] | 32) ^ name[i]);
	return differ == 0;
}

enum http1_name http1_name_of(const char *name, size_t len)
{
	unsigned id;

	if (len == 0 || len > NAME_LEN_MAX)
		return HTTP1_NAME_OTHER;
	id = slots[slot_of(name, len)];
	if (known[id].len != len || !same_as(name, known[id].text, len))
		return HTTP1_NAME_OTHER;
	return (enum http1_name)id;
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
