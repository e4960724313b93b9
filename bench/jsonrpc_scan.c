/* SPDX-License-Identifier: MIT */
/* The envelope of JSON-RPC messages, weft_jsonrpc_scan; see scan_rows.h. */
#include "must.h"

static int scan(const char *text, size_t len)
{
	weft_jsonrpc m;
	if (weft_jsonrpc_scan(&m, text, len, NULL) == WEFT_JSONRPC_INVALID)
		bench_die(m.fault);
	return !!m.id.text + !!m.method.text + !!m.params.text + !!m.result.text;
}

#include "scan_rows.h"

int main(int argc, char **argv)
{
	return bench_main(argc, argv, rows);
}
