/* SPDX-License-Identifier: MIT */
#include "proto/http1/http1.h"

#include "base/check.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct {
	uint16_t status;
	const char *text;
} faults[] = {
#define HTTP1_FAULT_ENTRY(name, status, text) { status, text },
	HTTP1_FAULT_LIST(HTTP1_FAULT_ENTRY)
#undef HTTP1_FAULT_ENTRY
};

unsigned http1_fault_status(enum http1_fault fault)
{
	CHECK((size_t)fault < COUNT(faults));
	return faults[fault].status;
}

const char *http1_fault_text(enum http1_fault fault)
{
	CHECK((size_t)fault < COUNT(faults));
	return faults[fault].text;
}

const char *http1_write_fault_text(enum http1_write_fault fault)
{
	static const char *const texts[] = {
		[HTTP1_WRITE_OK] = "no fault",
		[HTTP1_WRITE_SPACE] = "head too large",
		[HTTP1_WRITE_METHOD] = "invalid character in the method",
		[HTTP1_WRITE_TARGET] = "invalid character in the request target",
		[HTTP1_WRITE_STATUS] = "status is not 100 to 999",
		[HTTP1_WRITE_REASON] = "control character in the reason",
		[HTTP1_WRITE_NAME] = "invalid character in a field's name",
		[HTTP1_WRITE_VALUE] =
			"control character, or a blank at the end, in a field's value",
		[HTTP1_WRITE_RESERVED] = "field is the codec's own",
		[HTTP1_WRITE_FRAMING] = "the body can't be sent in that way",
	};

	CHECK((size_t)fault < COUNT(texts));
	return texts[fault];
}
