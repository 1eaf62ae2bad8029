/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c: both ends of the measurements with UDP.
 *
 *   probe serve ADDRESS PORT
 *       answers probes, counts numbered datagrams by trial and tells how many on request; prints "ready"
 *   probe rtt ADDRESS PORT COUNT PAUSE_US SECONDS
 *       round trips of 64 octets one after the other, COUNT of them or as many as SECONDS allow; a line each, in ns,
 *       then "lost N"
 *   probe rate ADDRESS PORT OCTETS SECONDS LOW HIGH STEPS
 *       the highest rate without any loss, by bisection between LOW and HIGH packets/s (geometric). A line for each
 *       trial: "rate WANTED SENT RECEIVED PACKETS_PER_S", and at the end "best PACKETS_PER_S", 0 when even LOW loses.
 *       A trial's time ends when the far end's count is here: what only waits in a queue has not been carried.
 *
 * PORT is UDP. The count is asked for over the path itself, behind the last datagram of its trial.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define OCTETS_MAX 2048u
#define RECEIVE_BUFFER (64 << 20)
#define REPLY_S 1
#define TRIALS 65536u
#define ASK_TRIES 20u
/* What may be sent in one go by a sender that was late: a wire's burst, not all that it owes. */
#define BURST_MAX 32u
#define NAP_NS 20000
#define RETRIES 2u /* of a trial that lost: something else may have run for a moment */

enum kind { ECHO = 'E', DATA = 'D', ASK = 'A' };

struct head {
	uint8_t kind;
	uint8_t pad[3];
	uint32_t trial;
	uint64_t number;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap(uint64_t ns)
{
	(void)nanosleep(&(struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
					   .tv_nsec = (long)(ns % 1000000000u)},
			NULL);
}

static int fail(const char *what)
{
	(void)fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
	return 1;
}

static int open_socket(const char *address, const char *port, bool listens)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = RECEIVE_BUFFER;
	struct timeval limit = {.tv_sec = REPLY_S};

	if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (!listens)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if ((listens ? bind : connect)(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		return -1;
	return fd;
}

/* ---- serve ----------------------------------------------------------------------------------- */

static uint64_t counts[TRIALS];

static void answer(int fd, const struct mmsghdr *message, uint8_t *octets)
{
	struct head head;
	size_t len = message->msg_len;

	if (len < sizeof(head))
		return;
	memcpy(&head, octets, sizeof(head));
	if (head.kind == DATA) {
		counts[head.trial % TRIALS]++;
		return;
	}
	if (head.kind == ASK) {
		head.number = counts[head.trial % TRIALS];
		memcpy(octets, &head, sizeof(head));
	}
	(void)!sendto(fd, octets, len, 0, message->msg_hdr.msg_name, message->msg_hdr.msg_namelen);
}

static int serve(char **argv)
{
	static uint8_t octets[BATCH][OCTETS_MAX];
	struct sockaddr_in from[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	int fd = open_socket(argv[0], argv[1], true);

	if (fd < 0)
		return fail("listen");
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){octets[i], OCTETS_MAX};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
							      .msg_namelen = sizeof(from[i]),
							      .msg_iov = &parts[i],
							      .msg_iovlen = 1};
		}
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EINTR)
			return fail("receive");
		for (int i = 0; i < n; i++)
			answer(fd, &messages[i], octets[i]);
	}
}

/* ---- rtt ------------------------------------------------------------------------------------- */

static int rtt(char **argv)
{
	uint64_t count = strtoul(argv[2], NULL, 10), pause = 1000u * strtoul(argv[3], NULL, 10);
	uint64_t end = now_ns() + 1000000000u * strtoul(argv[4], NULL, 10);
	uint8_t octets[64] = {0}, back[64];
	uint64_t *took = calloc(count, sizeof(*took)), lost = 0;
	struct head head = {.kind = ECHO};
	int fd = open_socket(argv[0], argv[1], false);

	if (fd < 0 || took == NULL)
		return fail("connect");
	for (uint64_t i = 0; i < count && now_ns() < end; i++) {
		uint64_t start;
		struct head got = {.kind = 0};

		head.number = i + 1;
		memcpy(octets, &head, sizeof(head));
		start = now_ns();
		if (send(fd, octets, sizeof(octets), 0) < 0)
			return fail("send");
		/* A late answer to a probe that was given up is passed over. */
		while (got.number != head.number) {
			if (recv(fd, back, sizeof(back), 0) < 0)
				break;
			memcpy(&got, back, sizeof(got));
		}
		if (got.number == head.number)
			took[i] = now_ns() - start;
		else
			lost++;
		if (pause != 0)
			nap(pause);
	}
	for (uint64_t i = 0; i < count; i++) {
		if (took[i] != 0)
			(void)printf("%lu\n", (unsigned long)took[i]);
	}
	(void)printf("lost %lu\n", (unsigned long)lost);
	return 0;
}

/* ---- rate ------------------------------------------------------------------------------------ */

struct trial {
	double rate; /* wanted, packets/s */
	uint64_t sent, received;
	double pps; /* carried, to the end of the queues on the way */
};

/* Sends at most n in one call; how many went. */
static uint32_t send_some(int fd, struct mmsghdr *messages, uint32_t n)
{
	int sent = sendmmsg(fd, messages, n, 0);

	return sent < 0 ? 0 : (uint32_t)sent;
}

/* UINT64_MAX: no answer. */
static uint64_t ask(int fd, uint32_t trial)
{
	struct head head = {.kind = ASK, .trial = trial}, got;
	uint8_t back[OCTETS_MAX];

	for (uint32_t i = 0; i < ASK_TRIES; i++) {
		if (send(fd, &head, sizeof(head), 0) < 0)
			continue;
		while (recv(fd, back, sizeof(back), 0) >= (ssize_t)sizeof(got)) {
			memcpy(&got, back, sizeof(got));
			if (got.kind == ASK && got.trial == trial)
				return got.number;
		}
	}
	return UINT64_MAX;
}

static bool run_trial(int fd, uint32_t octets, double seconds, uint32_t number, struct trial *trial)
{
	static uint8_t payload[OCTETS_MAX];
	struct head head = {.kind = DATA, .trial = number};
	struct iovec part = {payload, octets};
	struct mmsghdr messages[BURST_MAX];
	uint64_t start, end, now;
	double owed = 0, last = 0;

	memcpy(payload, &head, sizeof(head));
	for (uint32_t i = 0; i < BURST_MAX; i++)
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
	start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	while ((now = now_ns()) < end) {
		double at = (double)(now - start) / 1e9;

		owed += (at - last) * trial->rate;
		last = at;
		if (owed > BURST_MAX)
			owed = BURST_MAX;
		if (owed >= 1) {
			uint32_t went = send_some(fd, messages, (uint32_t)owed);

			trial->sent += went;
			owed -= went;
		} else if ((1 - owed) / trial->rate > 2e-9 * NAP_NS) {
			nap(NAP_NS);
		}
	}
	trial->received = ask(fd, number);
	trial->pps = (double)trial->sent * 1e9 / (double)(now_ns() - start);
	return trial->received != UINT64_MAX;
}

static int rate(char **argv)
{
	uint32_t octets = (uint32_t)strtoul(argv[2], NULL, 10), steps, number;
	double seconds = strtod(argv[3], NULL), low = strtod(argv[4], NULL),
	       high = strtod(argv[5], NULL), best = 0;
	int fd = open_socket(argv[0], argv[1], false);

	steps = (uint32_t)strtoul(argv[6], NULL, 10);
	if (fd < 0)
		return fail("connect");
	if (octets < sizeof(struct head) || octets > OCTETS_MAX || low <= 0 || high <= low) {
		(void)fputs("Cannot measure: 16 to 2048 octets, 0 < LOW < HIGH\n", stderr);
		return 2;
	}
	number = (uint32_t)now_ns();
	for (uint32_t step = 0; step < steps; step++) {
		double want = step == 0 ? low : sqrt(low * high);
		bool lossless = false;

		for (uint32_t i = 0; i <= RETRIES && !lossless; i++) {
			struct trial trial = {.rate = want};

			if (!run_trial(fd, octets, seconds, ++number, &trial)) {
				(void)fputs("Cannot measure: the far end does not answer\n",
					    stderr);
				return 1;
			}
			(void)printf("rate %.0f %lu %lu %.0f\n", want, (unsigned long)trial.sent,
				     (unsigned long)trial.received, trial.pps);
			lossless = trial.received == trial.sent;
			if (lossless && trial.pps > best)
				best = trial.pps;
		}
		if (lossless)
			low = want;
		else
			high = want;
		if (step == 0 && !lossless)
			break;
	}
	(void)printf("best %.0f\n", best);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve(argv + 2);
	if (argc == 7 && strcmp(argv[1], "rtt") == 0)
		return rtt(argv + 2);
	if (argc == 9 && strcmp(argv[1], "rate") == 0)
		return rate(argv + 2);
	(void)fputs("usage: probe serve|rtt|rate ..., see the head of probe.c\n", stderr);
	return 2;
}
