/* SPDX-License-Identifier: MIT */
/* A program of somebody else's, built against the library in every way there is. */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

/* Names that the library uses inside: they are its own affair. */
int mem_alloc(void);
int mem_alloc(void)
{
	return 7;
}

int err_set(void);
int err_set(void)
{
	return 8;
}

static weft_err fiber(void *arg)
{
	*(int *)arg += 1;
	return WEFT_OK;
}

int main(void)
{
	int ran = 0;
	weft_err err = weft_run(fiber, &ran, NULL);

	if (err != WEFT_OK) {
		fprintf(stderr, "weft_run: %s: %s\n", weft_strerror(err), weft_error_detail());
		return 1;
	}
	if (strcmp(weft_version(), WEFT_VERSION) != 0 || ran != 1 || mem_alloc() + err_set() != 15)
		return 1;
	printf("weft %s\n", weft_version());
	return 0;
}
