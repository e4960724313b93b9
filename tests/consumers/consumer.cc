/* SPDX-License-Identifier: MIT */
#include <weft/weft.h>

#include <cstdio>

struct counter {
	int value;
};

static const weft_hub_type counter_type = { "counter", nullptr };
WEFT_HUB_TYPED(counter, counter, &counter_type)

/* What is compiled into programs. */
static bool inlined()
{
	counter there = { 7 }, *found = nullptr;
	counter_handle handle = counter_at(nullptr, "consumer", "counter");
	weft_once *once = nullptr;
	weft_cancel *token = nullptr;
	void *value = nullptr;
	bool good = counter_set(nullptr, "consumer", "counter", &there) == WEFT_OK &&
		counter_get(&handle, &found) == WEFT_OK && counter_object(&handle) == &there &&
		found->value == 7 && weft_once_create(&once, nullptr) == WEFT_OK &&
		weft_once_set(once, &there) == WEFT_OK && weft_once_get(once) == &there &&
		weft_once_get_or_init(once, &value, nullptr, nullptr, WEFT_NOW) == WEFT_OK &&
		weft_cancel_create(&token, nullptr) == WEFT_OK && !weft_cancel_is_cancelled(token);

	{
		WEFT_CANCEL_GUARD(guard, token);
	}
	good = good && weft_cancel_is_cancelled(token) && value == &there &&
		weft_cancel_reason(token) == WEFT_ECANCELED;
	counter_handle_fini(&handle);
	weft_hub_clear(nullptr);
	weft_once_free(once);
	weft_cancel_unref(token);
	return good;
}

int main()
{
	int ran = 0;
	weft_err err = weft_run(
		[](void *arg) -> weft_err {
			++*static_cast<int *>(arg);
			return WEFT_OK;
		},
		&ran, nullptr);

	std::printf("weft %s\n", weft_version());
	return err == WEFT_OK && ran == 1 && inlined() ? 0 : 1;
}
