/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager is told what is said, nonsense is refused; what the machine says of itself. */
#define _GNU_SOURCE /* SCHED_BATCH */
#include "../psp_dp.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket in the abstract namespace: it goes with its descriptor. */
static int listen_at(char name[64], uint32_t *len)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*len = (uint32_t)snprintf(name, 64, "@psp-notify-%d", (int)getpid());
	memcpy(own.sun_path + 1, name + 1, *len - 1);
	if (bind(fd, (struct sockaddr *)&own,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + *len)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void what_is_said_arrives(void)
{
	static const char ready[] = "READY=1\nSTATUS=up", reload[] = "RELOADING=1";
	char name[64], got[256] = {0};
	long long usec = 0;
	uint32_t len;
	int fd = listen_at(name, &len);

	CHECK(fd >= 0);
	CHECK_EQ(psp_dp_notify(name, len, ready, sizeof(ready) - 1), PSP_DP_OK);
	CHECK_EQ(recv(fd, got, sizeof(got), 0), sizeof(ready) - 1);
	CHECK_MEM(got, ready, sizeof(ready) - 1);
	CHECK_EQ(psp_dp_notify(name, len, reload, sizeof(reload) - 1), PSP_DP_OK);
	memset(got, 0, sizeof(got));
	CHECK(recv(fd, got, sizeof(got) - 1, 0) > 0);
	CHECK_EQ(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	CHECK(usec > 0);
	(void)close(fd);
	CHECK_EQ(psp_dp_notify(name, len, ready, sizeof(ready) - 1), PSP_DP_EIO);
}

static void nonsense_is_refused(void)
{
	static const char text[5000] = "READY=1";
	char path[200];

	memset(path, '/', sizeof(path));
	CHECK_EQ(psp_dp_notify(NULL, 4, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/", 1, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("relative", 8, text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify(path, sizeof(path), text, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, NULL, 7), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, text, 0), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/run/none", 9, text, sizeof(text)), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_notify("/nowhere/none", 13, text, 7), PSP_DP_EIO);
}

static void the_machine_is_described(void)
{
	char text[65536];
	uint32_t len = 0, needed = 0;

	CHECK_EQ(psp_dp_host_report(text, sizeof(text) - 1, &len), PSP_DP_OK);
	text[len] = 0;
	CHECK(strstr(text, "page-size ") == text);
	CHECK(strstr(text, "\ncap-eff ") != NULL);
	CHECK(strstr(text, "\ninterface lo ") != NULL);
	CHECK_EQ(psp_dp_host_report(NULL, 0, &needed), PSP_DP_ERANGE);
	CHECK_EQ(needed, len);
	CHECK_EQ(psp_dp_host_report(NULL, 1, &needed), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_host_report(text, sizeof(text), NULL), PSP_DP_EINVAL);
}

static void the_interfaces_are_named(void)
{
	char text[65536];
	uint32_t len = 0, needed = 0;

	CHECK_EQ(psp_dp_interfaces(text, sizeof(text) - 1, &len), PSP_DP_OK);
	text[len] = 0;
	CHECK(strncmp(text, "lo\n", 3) == 0 || strstr(text, "\nlo\n") != NULL);
	CHECK_EQ(psp_dp_interfaces(NULL, 0, &needed), PSP_DP_ERANGE);
	CHECK_EQ(needed, len);
	CHECK_EQ(psp_dp_interfaces(NULL, 1, &needed), PSP_DP_EINVAL);
	CHECK_EQ(psp_dp_interfaces(text, sizeof(text), NULL), PSP_DP_EINVAL);
}

/* runtime of sched_getattr(2); 0: the kernel is older than that of ordinary threads. */
static uint64_t turn_ns(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} now = {0};

	return syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) == 0 ? now.runtime : 0;
}

struct asking {
	int policy;
	int32_t status;
	uint64_t before_ns, after_ns;
};

static void *ask_for_short_turns(void *arg)
{
	const struct sched_param none = {0};
	struct asking *asking = arg;

	(void)pthread_setschedparam(pthread_self(), asking->policy, &none);
	asking->before_ns = turn_ns();
	asking->status = psp_dp_short_turns();
	asking->after_ns = turn_ns();
	return NULL;
}

static void an_ordinary_thread_has_short_turns_and_another_what_it_was_given(void)
{
	struct asking asking[] = {{.policy = SCHED_OTHER}, {.policy = SCHED_BATCH}};

	for (uint32_t i = 0; i < 2; i++) {
		const bool can = asking[i].policy == SCHED_OTHER && turn_ns() != 0;
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, ask_for_short_turns, &asking[i]), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_EQ(asking[i].status, can ? PSP_DP_OK : PSP_DP_ENOTSUP);
		CHECK_EQ(asking[i].after_ns < asking[i].before_ns, can);
	}
}

int main(void)
{
	RUN(an_ordinary_thread_has_short_turns_and_another_what_it_was_given);
	RUN(what_is_said_arrives);
	RUN(nonsense_is_refused);
	RUN(the_machine_is_described);
	RUN(the_interfaces_are_named);
	return test_summary();
}
