/* SPDX-License-Identifier: MIT */
/* See record_line.h. A line costs a copy of its message, and some 150 ns. */
#include "bridge/record_line.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define DAY_S INT64_C(86400)
#define FIXED_MAX 192 /* bytes of a line beside transport, server and message */

/* ---- times ---- */

/* The day of a date in the Gregorian calendar, from 1970-01-01: by years that begin in March,
 * in eras of 400 years, which have 146,097 days. */
static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1, era = y / 400, of_era = y % 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + era * 400 + (*month <= 2);
}

static char *digits(char *to, int64_t value, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		to[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return to + count;
}

void record_time_write(char to[RECORD_TIME_LEN], int64_t ns)
{
	int64_t seconds = ns / SECOND_NS, of_day = seconds % DAY_S, year, month, day;

	date_of(seconds / DAY_S, &year, &month, &day);
	to = digits(to, year, 4);
	*to++ = '-';
	to = digits(to, month, 2);
	*to++ = '-';
	to = digits(to, day, 2);
	*to++ = 'T';
	to = digits(to, of_day / 3600, 2);
	*to++ = ':';
	to = digits(to, of_day / 60 % 60, 2);
	*to++ = ':';
	to = digits(to, of_day % 60, 2);
	*to++ = '.';
	to = digits(to, ns % SECOND_NS / 1000, 6);
	*to = 'Z';
}

bool record_time_read(const char *text, size_t len, int64_t *ns)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	int64_t parts[7] = { 0 };
	unsigned part = 0;

	if (len != RECORD_TIME_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (form[i] != '0') {
			if (text[i] != form[i])
				return false;
			part++;
		} else if (text[i] < '0' || text[i] > '9') {
			return false;
		} else {
			parts[part] = parts[part] * 10 + (text[i] - '0');
		}
	}
	if (parts[0] < 1970 || parts[0] > 2261 || parts[1] < 1 || parts[1] > 12 || parts[2] < 1 ||
		parts[2] > 31 || parts[3] > 23 || parts[4] > 59 || parts[5] > 60)
		return false;
	*ns = ((day_of(parts[0], parts[1], parts[2]) * DAY_S + parts[3] * 3600 + parts[4] * 60 +
		       parts[5]) *
			      1000000 +
		      parts[6]) *
		1000;
	return true;
}

/* ---- lines ---- */

static char *put(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

static char *put_text(char *to, const char *text)
{
	return put(to, text, strlen(text));
}

static char *put_string(char *to, const char *text, size_t len)
{
	size_t written = 0;

	CHECK(weft_json_string_encode(text, len, to, weft_json_string_size(text, len), &written) ==
		WEFT_OK);
	return to + written;
}

static size_t invalid_len(const weft_message *m)
{
	return m->text.len < RECORD_INVALID_MAX ? m->text.len : RECORD_INVALID_MAX;
}

static const char *why_invalid(const weft_message *m)
{
	if (m->err == WEFT_EMSGSIZE)
		return "too large";
	return m->rpc.fault ? m->rpc.fault : "no message";
}

static size_t message_size(const weft_message *m)
{
	const char *why;

	if (m->rpc.kind != WEFT_JSONRPC_INVALID)
		return m->text.len;
	why = why_invalid(m);
	return weft_json_string_size((const char *)m->text.data, invalid_len(m)) +
		weft_json_string_size(why, strlen(why));
}

size_t record_line_size(const struct relay_message *message)
{
	return FIXED_MAX + weft_json_string_size(message->transport, strlen(message->transport)) +
		weft_json_string_size(message->server, strlen(message->server)) +
		message_size(message->message);
}

static char *put_begin(char *to, const char *run, int64_t time_ns)
{
	to = put_text(to, "{\"time\":\"");
	record_time_write(to, time_ns);
	to = put_text(to + RECORD_TIME_LEN, "\",\"run\":\"");
	return put(to, run, RECORD_RUN_LEN);
}

static char *put_number(char *to, uint64_t number)
{
	char text[WEFT_JSON_INTEGER_SIZE];
	weft_json json = weft_json_of_integer((int64_t)number, text);

	return put(to, json.text, json.len);
}

static char *put_message(char *to, const weft_message *m)
{
	const char *text = (const char *)m->text.data, *why;

	if (m->rpc.kind != WEFT_JSONRPC_INVALID) {
		to = put_text(to, ",\"message\":");
		return put(to, text, m->text.len);
	}
	why = why_invalid(m);
	to = put_text(to, ",\"invalid\":");
	to = put_string(to, why, strlen(why));
	to = put_text(to, ",\"message\":");
	return put_string(to, text, invalid_len(m));
}

size_t record_line_write(
	char *to, const char *run, int64_t time_ns, const struct relay_message *message)
{
	char *at = put_begin(to, run, time_ns);

	at = put_text(at, "\",\"session\":");
	at = put_number(at, message->session);
	at = put_text(at,
		message->direction == RELAY_TO_SERVER ? ",\"direction\":\"to_server\""
						      : ",\"direction\":\"to_client\"");
	at = put_text(at, ",\"transport\":");
	at = put_string(at, message->transport, strlen(message->transport));
	at = put_text(at, ",\"server\":");
	at = put_string(at, message->server, strlen(message->server));
	at = put_message(at, message->message);
	at = put(at, "}\n", 2);
	return (size_t)(at - to);
}

size_t record_lost_write(char *to, const char *run, int64_t time_ns, uint64_t count)
{
	char *at = put_begin(to, run, time_ns);

	at = put_text(at, "\",\"lost\":");
	at = put_number(at, count);
	at = put(at, "}\n", 2);
	return (size_t)(at - to);
}

size_t record_torn_write(char *to, const char *run, int64_t time_ns)
{
	char *at = put_begin(to, run, time_ns);

	at = put_text(at, "\",\"torn\":true}\n");
	return (size_t)(at - to);
}
