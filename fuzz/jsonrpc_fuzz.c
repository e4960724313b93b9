/* SPDX-License-Identifier: MIT */
/*
 * Messages from a peer that may send anything. Besides memory errors:
 *
 * - what is JSON is what a second reader says that takes one byte after the other;
 * - the spans of an envelope are those that looking up its members one by one gives;
 * - ids that are rewritten and put back leave the very bytes there were;
 * - a message composed of the parts of one has the same parts;
 * - a message that is only shown, in pieces, is of the same kind and has the same id;
 * - strings that are decoded and encoded read the same;
 * - cJSON, where it was found, takes what is JSON here, and builds a tree of the same values.
 *   It takes more: bytes that are not UTF-8, control characters as space and in strings, numbers
 *   as strtod likes them, 1000 levels; so only that direction holds. It takes less in two ways:
 *   escaped surrogates without their other half, and numbers of 64 bytes or more.
 *
 * Input: the text of a message.
 */
#include "base/check.h"

#include <weft/jsonrpc.h>

#include <stdlib.h>
#include <string.h>

#ifdef WITH_CJSON
#include <cjson/cJSON.h>
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH_MAX 64

/* ---- the second reader ---- */

struct model {
	const uint8_t *p, *end;
	bool odd; /* half a surrogate was escaped, or a number is long */
};

static bool m_take(struct model *m, char c)
{
	if (m->p == m->end || *m->p != (uint8_t)c)
		return false;
	m->p++;
	return true;
}

static bool m_word(struct model *m, const char *word)
{
	while (*word)
		if (!m_take(m, *word++))
			return false;
	return true;
}

static void m_space(struct model *m)
{
	while (m_take(m, ' ') || m_take(m, '\t') || m_take(m, '\n') || m_take(m, '\r'))
		;
}

static bool m_digits(struct model *m)
{
	const uint8_t *first = m->p;

	while (m->p < m->end && *m->p >= '0' && *m->p <= '9')
		m->p++;
	return m->p > first;
}

static bool m_number(struct model *m)
{
	const uint8_t *first = m->p;

	m_take(m, '-');
	if (!m_take(m, '0') && !m_digits(m))
		return false;
	if (m_take(m, '.') && !m_digits(m))
		return false;
	if (m_take(m, 'e') || m_take(m, 'E')) {
		if (!m_take(m, '+'))
			m_take(m, '-');
		if (!m_digits(m))
			return false;
	}
	m->odd |= m->p - first >= 60;
	return true;
}

static bool m_char(struct model *m)
{
	static const uint8_t leads[][5] = { { 0x20, 0x7f, 0, 0, 0 }, { 0xc2, 0xdf, 1, 0x80, 0xbf },
		{ 0xe0, 0xe0, 2, 0xa0, 0xbf }, { 0xe1, 0xec, 2, 0x80, 0xbf },
		{ 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf },
		{ 0xf0, 0xf0, 3, 0x90, 0xbf }, { 0xf1, 0xf3, 3, 0x80, 0xbf },
		{ 0xf4, 0xf4, 3, 0x80, 0x8f } };

	for (size_t i = 0; i < sizeof(leads) / sizeof(*leads); i++) {
		if (*m->p < leads[i][0] || *m->p > leads[i][1])
			continue;
		if (m->end - m->p <= leads[i][2])
			return false;
		if (leads[i][2] > 0 && (m->p[1] < leads[i][3] || m->p[1] > leads[i][4]))
			return false;
		for (unsigned k = 2; k <= leads[i][2]; k++)
			if (m->p[k] < 0x80 || m->p[k] > 0xbf)
				return false;
		m->p += leads[i][2] + 1;
		return true;
	}
	return false;
}

static bool m_string(struct model *m)
{
	if (!m_take(m, '"'))
		return false;
	while (m->p < m->end && *m->p != '"') {
		if (*m->p != '\\') {
			if (!m_char(m))
				return false;
			continue;
		}
		if (++m->p == m->end)
			return false;
		if (*m->p == 'u') {
			if (m->end - m->p < 5)
				return false;
			for (int i = 1; i <= 4; i++)
				if (!strchr("0123456789abcdefABCDEF", m->p[i]) || !m->p[i])
					return false;
			/* any surrogate, for simplicity */
			m->odd |= (m->p[1] | 0x20) == 'd' && !strchr("01234567", m->p[2]);
			m->p += 5;
			continue;
		}
		if (!*m->p || !strchr("\"\\/bfnrt", *m->p))
			return false;
		m->p++;
	}
	return m_take(m, '"');
}

static bool m_value(struct model *m, int depth);

static bool m_items(struct model *m, int depth, bool object)
{
	char closing = object ? '}' : ']';

	m->p++;
	m_space(m);
	if (m_take(m, closing))
		return true;
	do {
		m_space(m);
		if (object) {
			if (!m_string(m))
				return false;
			m_space(m);
			if (!m_take(m, ':'))
				return false;
			m_space(m);
		}
		if (!m_value(m, depth))
			return false;
		m_space(m);
	} while (m_take(m, ','));
	return m_take(m, closing);
}

static bool m_value(struct model *m, int depth)
{
	if (m->p == m->end)
		return false;
	switch (*m->p) {
	case '{':
	case '[':
		return depth < DEPTH_MAX && m_items(m, depth + 1, *m->p == '{');
	case '"':
		return m_string(m);
	case 't':
		return m_word(m, "true");
	case 'f':
		return m_word(m, "false");
	case 'n':
		return m_word(m, "null");
	default:
		return m_number(m);
	}
}

static bool is_json(const char *text, size_t len, bool *odd)
{
	struct model m = { (const uint8_t *)text, (const uint8_t *)text + len, false };
	bool right;

	m_space(&m);
	right = m_value(&m, 0);
	m_space(&m);
	*odd = m.odd;
	return right && m.p == m.end;
}

/* ---- strings ---- */

static void check_string(weft_json string)
{
	char *text = malloc(string.len), *again = malloc(6 * string.len + 2);
	size_t len = 0, size = 0, len_again = 0;
	weft_json encoded;

	CHECK(text && again);
	CHECK(!weft_json_string_decode(string, text, string.len, &len));
	CHECK(weft_json_string_is_bytes(string, text, len));
	CHECK(!weft_json_string_encode(text, len, again, 6 * string.len + 2, &size));
	CHECK(size == weft_json_string_size(text, len));
	encoded = (weft_json){ again, size };
	CHECK(!weft_json_check(&encoded, again, size, NULL) && encoded.len == size);
	CHECK(weft_json_string_is_bytes(encoded, text, len));
	CHECK(!weft_json_string_decode(encoded, text, len, &len_again) && len_again == len);
	free(text);
	free(again);
}

/* ---- values, and cJSON's ---- */

#ifdef WITH_CJSON
static void same_text(weft_json string, const char *text)
{
	char *decoded = malloc(string.len);
	size_t len;

	CHECK(decoded && !weft_json_string_decode(string, decoded, string.len, &len));
	/* cJSON's end at the first NUL */
	CHECK(!strncmp(decoded, text, len) || memchr(decoded, 0, len));
	CHECK(memchr(decoded, 0, len) || strlen(text) == len);
	free(decoded);
}

static void same_value(weft_json value, const cJSON *tree)
{
	weft_json_iter iter = weft_json_iter_of(value);
	weft_json name, item;
	char number[80];

	switch (weft_json_type_of(value)) {
	case WEFT_JSON_NULL:
		CHECK(cJSON_IsNull(tree));
		break;
	case WEFT_JSON_BOOLEAN:
		CHECK(value.text[0] == 't' ? cJSON_IsTrue(tree) : cJSON_IsFalse(tree));
		break;
	case WEFT_JSON_NUMBER:
		CHECK(cJSON_IsNumber(tree) && value.len < sizeof(number));
		memcpy(number, value.text, value.len);
		number[value.len] = '\0';
		CHECK(strtod(number, NULL) == tree->valuedouble);
		break;
	case WEFT_JSON_STRING:
		CHECK(cJSON_IsString(tree));
		same_text(value, tree->valuestring);
		break;
	case WEFT_JSON_ARRAY:
	case WEFT_JSON_OBJECT:
		CHECK(value.text[0] == '[' ? cJSON_IsArray(tree) : cJSON_IsObject(tree));
		tree = tree->child;
		while (!weft_json_next(&iter, &name, &item)) {
			CHECK(tree && !name.text == !tree->string);
			if (name.text)
				same_text(name, tree->string);
			same_value(item, tree);
			tree = tree->next;
		}
		CHECK(!tree);
		break;
	case WEFT_JSON_NONE:
		CHECK(value.text == NULL); /* never: it was scanned */
		CHECK(tree == NULL);
	}
}

static void check_cjson(const char *text, size_t len, weft_json value)
{
	const char *end = NULL;
	cJSON *tree = cJSON_ParseWithLengthOpts(text, len, &end, 0);

	CHECK(tree && end == value.text + value.len);
	same_value(value, tree);
	cJSON_Delete(tree);
}
#else
static void check_cjson(const char *text, size_t len, weft_json value)
{
	(void)text, (void)len, (void)value;
}
#endif

/* ---- envelopes ---- */

/* The member of object, NULL or none: then no value. *twice: there are several. */
static weft_json look_up(weft_json object, const char *name, bool *twice)
{
	weft_json found = { NULL, 0 };
	weft_err err;

	if (weft_json_type_of(object) != WEFT_JSON_OBJECT)
		return found;
	err = weft_json_get(&found, object, name);
	CHECK(!err || err == WEFT_ENOTFOUND || err == WEFT_EDUPLICATE);
	*twice |= err == WEFT_EDUPLICATE;
	return found;
}

static void same_span(weft_json a, weft_json b)
{
	CHECK(a.text == b.text && a.len == b.len);
}

/* What is found one by one is what the pass found; or it is found twice, and that was refused. */
static void check_parts(const weft_jsonrpc *m)
{
	bool twice = false;
	weft_json o = m->text, params = look_up(o, "params", &twice);
	weft_json result = look_up(o, "result", &twice), error = look_up(o, "error", &twice);
	weft_json id = look_up(o, "id", &twice), method = look_up(o, "method", &twice);
	weft_json code = look_up(error, "code", &twice), data = look_up(error, "data", &twice);
	weft_json message = look_up(error, "message", &twice),
		  name = look_up(params, "name", &twice);
	weft_json uri = look_up(params, "uri", &twice);
	weft_json token = look_up(params, "progressToken", &twice);
	weft_json request = look_up(params, "requestId", &twice);
	weft_json meta = look_up(params, "_meta", &twice), meta2 = look_up(result, "_meta", &twice);

	look_up(o, "jsonrpc", &twice);
	meta = meta.text ? meta : meta2;
	if (m->kind == WEFT_JSONRPC_INVALID) {
		CHECK(m->fault && m->fault_code == WEFT_JSONRPC_INVALID_REQUEST);
		CHECK(!m->id.text || m->id.text == id.text);
		return;
	}
	CHECK(!twice && !m->fault);
	same_span(m->id, id);
	same_span(m->method, method);
	same_span(m->params, params);
	same_span(m->result, result);
	same_span(m->error, error);
	same_span(m->error_code, code);
	same_span(m->error_message, message);
	same_span(m->error_data, data);
	same_span(m->name, name);
	same_span(m->uri, uri);
	same_span(m->progress_token, token);
	same_span(m->request_id, request);
	same_span(m->meta, meta);
	same_span(m->meta_progress_token, look_up(meta, "progressToken", &twice));
	same_span(m->meta_protocol_version,
		look_up(meta, "io.modelcontextprotocol/protocolVersion", &twice));
	same_span(m->meta_subscription_id,
		look_up(meta, "io.modelcontextprotocol/subscriptionId", &twice));
	CHECK(!twice);
}

/* ---- rewriting ---- */

#define EDITS 5

static void edits_of(
	const weft_jsonrpc *at, const weft_jsonrpc *values, weft_json value, weft_json_edit *edits)
{
	const weft_json olds[EDITS] = { at->id, at->request_id, at->progress_token,
		at->meta_progress_token, at->meta_subscription_id };

	for (int i = 0; i < EDITS; i++)
		edits[i] = (weft_json_edit){ olds[i], value };
	if (!values)
		return;
	edits[0].value = values->id;
	edits[1].value = values->request_id;
	edits[2].value = values->progress_token;
	edits[3].value = values->meta_progress_token;
	edits[4].value = values->meta_subscription_id;
}

static void check_rewriting(const weft_jsonrpc *was, weft_json value)
{
	weft_json_edit edits[EDITS];
	weft_buf there = WEFT_BUF_EMPTY, back = WEFT_BUF_EMPTY;
	weft_json text = was->text;
	weft_jsonrpc is;

	edits_of(was, NULL, value, edits);
	CHECK(!weft_json_edit_buf(&there, NULL, text, edits, EDITS));
	CHECK(weft_jsonrpc_scan(&is, (char *)there.data, there.len, NULL) == was->kind);
	CHECK(!is.id.text == !was->id.text);
	CHECK(!is.id.text ||
		(is.id.len == value.len && !memcmp(is.id.text, value.text, value.len)));
	edits_of(&is, was, value, edits);
	CHECK(!weft_json_edit_buf(&back, NULL, is.text, edits, EDITS));
	CHECK(back.len == text.len && !memcmp(back.data, text.text, text.len));
	weft_buf_unref(&there);
	/* and where it lies */
	edits_of(was, NULL, value, edits);
	CHECK(!weft_jsonrpc_check(was));
	CHECK(weft_jsonrpc_scan(&is, (char *)back.data, back.len, NULL) == was->kind);
	edits_of(&is, NULL, value, edits);
	if (!weft_json_edit_in_place((char *)back.data, back.len, edits, EDITS)) {
		weft_jsonrpc there_again;

		CHECK(weft_jsonrpc_scan(&there_again, (char *)back.data, back.len, NULL) ==
			was->kind);
		edits_of(&is, was, value, edits);
		CHECK(!weft_json_edit_in_place((char *)back.data, back.len, edits, EDITS));
	}
	CHECK(!memcmp(back.data, text.text, text.len));
	weft_buf_unref(&back);
}

/* ---- composing ---- */

static void same_bytes(weft_json a, weft_json b)
{
	CHECK(a.len == b.len && (a.len == 0 || !memcmp(a.text, b.text, a.len)));
}

static void check_composing(const weft_jsonrpc *m)
{
	weft_jsonrpc_draft d = { .kind = m->kind,
		.id = m->id,
		.params = m->params,
		.result = m->result,
		.data = m->error_data };
	weft_json text = m->method.text ? m->method : m->error_message;
	char *decoded = malloc(text.len + 1);
	weft_jsonrpc again;
	size_t len = 0;
	weft_buf buf;

	CHECK(decoded);
	if (text.text) {
		CHECK(!weft_json_string_decode(text, decoded, text.len, &len));
		check_string(text);
	}
	decoded[len] = '\0';
	if (m->method.text) {
		d.method = decoded;
		d.method_len = len;
	} else if (m->kind == WEFT_JSONRPC_ERROR) {
		d.message = decoded;
		d.message_len = len;
		if (weft_json_integer(m->error_code, &d.code))
			d.code = -1;
	}
	CHECK(!weft_jsonrpc_write_buf(&buf, NULL, &d));
	CHECK(weft_jsonrpc_scan(&again, (char *)buf.data, buf.len, NULL) == m->kind);
	CHECK(weft_json_string_is_bytes(
		      again.method.text ? again.method : again.error_message, decoded, len) ||
		!text.text);
	if (m->id.text)
		same_bytes(again.id, m->id);
	same_bytes(again.params, m->params);
	same_bytes(again.result, m->result);
	same_bytes(again.error_data, m->error_data);
	weft_buf_unref(&buf);
	free(decoded);
}

static void check_message(const weft_jsonrpc *m, weft_json value)
{
	if (weft_json_type_of(m->text) == WEFT_JSON_OBJECT)
		check_parts(m);
	else
		CHECK(m->kind == WEFT_JSONRPC_INVALID);
	if (m->kind == WEFT_JSONRPC_INVALID)
		return;
	check_rewriting(m, value);
	/* the line of a notification, of a result: of any length */
	check_composing(m);
}

/* A message that is shown in three pieces is what it is, and has the same id. */
static void check_skim(const weft_jsonrpc *m, const char *text, size_t size)
{
	size_t cut = size / 3, cut2 = cut + size * size % (size - cut + 1);
	weft_jsonrpc_skim skim;
	weft_jsonrpc_kind kind;
	weft_json id;

	weft_jsonrpc_skim_init(&skim);
	weft_jsonrpc_skim_bytes(&skim, text, cut);
	weft_jsonrpc_skim_bytes(&skim, text + cut, cut2 - cut);
	weft_jsonrpc_skim_bytes(&skim, text + cut2, size - cut2);
	kind = weft_jsonrpc_skim_end(&skim, &id);
	if (m->kind == WEFT_JSONRPC_INVALID)
		return;
	CHECK(kind == m->kind);
	if (m->id.len > WEFT_JSONRPC_SKIM_ID_MAX)
		CHECK(!id.text);
	else
		same_bytes(id, m->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const weft_json ids[] = { { "7", 1 }, { "1000000001", 10 }, { "\"w-1\"", 5 } };
	weft_json id = ids[size % 3], value;
	char *text = malloc(size ? size : 1); /* exact, so that one byte over is seen */
	weft_jsonrpc m, element;
	size_t at = 0, count = 0;
	bool odd, right;
	weft_err err;

	CHECK(text);
	memcpy(text, data, size);
	right = is_json(text, size, &odd);
	err = weft_json_check(&value, text, size, NULL);
	CHECK(right == !err && (!err || err == WEFT_EPROTO || err == WEFT_EMSGSIZE));
	weft_jsonrpc_scan(&m, text, size, NULL);
	CHECK(right ==
		(m.kind != WEFT_JSONRPC_INVALID || m.fault_code == WEFT_JSONRPC_INVALID_REQUEST));
	CHECK((m.kind == WEFT_JSONRPC_INVALID) == (weft_jsonrpc_check(&m) != WEFT_OK));
	CHECK(m.kind != WEFT_JSONRPC_INVALID || (m.fault_offset <= size && m.fault));
	check_skim(&m, text, size);
	if (right && !odd)
		check_cjson(text, size, value);
	if (right) {
		same_span(value, m.text);
		if (m.kind != WEFT_JSONRPC_BATCH && size > 0 && value.text[0] != '[')
			check_message(&m, id);
		while (weft_jsonrpc_batch_next(&m, &at, &element, NULL)) {
			check_message(&element, id);
			count++;
		}
		CHECK(count == m.batch_count || m.kind != WEFT_JSONRPC_BATCH);
	}
	free(text);
	return 0;
}
