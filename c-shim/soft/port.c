/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/net.h"
#include "port_io.h"

#define SOCKET_BUFFER                                                                              \
	(32 << 20) /* octets: some hundred super-frames, whatever truesize they have */

static const char *role(uint8_t port)
{
	return port == PSP_DP_PORT_UPLINK ? "uplink" : "host port";
}

static int32_t refuse(const char *name, uint8_t port, int32_t status, const char *why, char *err,
		      uint32_t err_cap)
{
	if (err_cap != 0)
		(void)snprintf(err, err_cap, "Cannot open %s \"%.63s\": %s", role(port), name, why);
	return status;
}

/* The sentence for the errno of a call that needs CAP_NET_RAW, or failed for another reason. */
static int32_t refuse_errno(const char *name, uint8_t port, int error, char *err, uint32_t err_cap)
{
	char why[96];

	if (error == EPERM || error == EACCES)
		return refuse(name, port, PSP_DP_EPERM, "CAP_NET_RAW is missing", err, err_cap);
	if (error == ENODEV || error == ENXIO)
		return refuse(name, port, PSP_DP_ENODEV, "no such interface", err, err_cap);
	(void)snprintf(why, sizeof(why), "%s", strerror(error));
	return refuse(name, port, error == ENOMEM ? PSP_DP_ENOMEM : PSP_DP_EIO, why, err, err_cap);
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : errno;
}

/* As root the limits of sysctl do not bind; else what they allow is taken. */
static void grow_buffers(int fd)
{
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) != 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
}

_Static_assert(sizeof(((struct soft_port *)0)->name) == IFNAMSIZ, "names are the kernel's");

/* Whatever the tenant's gateway MAC is, the host port must hear it; the uplink has its own. */
static int set_promiscuous(const struct soft_port *port)
{
	struct packet_mreq request = {.mr_ifindex = (int)port->ifindex,
				      .mr_type = PACKET_MR_PROMISC};

	if (port->port == PSP_DP_PORT_UPLINK)
		return 0;
	if (setsockopt(port->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0)
		return errno;
	return 0;
}

static int set_up(struct soft_port *port)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)port->ifindex};
	int error = set_int(port->fd, SOL_PACKET, PACKET_VNET_HDR, 1);

	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (error == 0)
		error = set_int(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (error == 0)
		error = set_promiscuous(port);
	if (error != 0)
		return error;
	grow_buffers(port->fd);
	return bind(port->fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int request(const struct soft_port *port, unsigned long what, struct ifreq *answer)
{
	memset(answer, 0, sizeof(*answer));
	memcpy(answer->ifr_name, port->name, sizeof(port->name));
	return ioctl(port->fd, what, answer) == 0 ? 0 : errno;
}

int32_t soft_port_open(const char *name, uint8_t port, uint16_t vlan, struct soft_port **out,
		       char *err, uint32_t err_cap)
{
	struct soft_port *made;
	struct ifreq answer;
	int32_t status;
	int error;

	*out = NULL;
	if (name[0] == 0 || strlen(name) >= IFNAMSIZ)
		return refuse(name, port, PSP_DP_ENODEV, "no such interface", err, err_cap);
	if (vlan >= NET_VLAN_ID)
		return refuse(name, port, PSP_DP_EINVAL, "a VLAN id is 1 to 4094", err, err_cap);
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return refuse(name, port, PSP_DP_ENOMEM, "out of memory", err, err_cap);
	made->port = port;
	made->vlan = vlan;
	memcpy(made->name, name, strlen(name));
	/* Protocol 0: nothing is received before bind() says from where. */
	made->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made->fd < 0) {
		status = refuse_errno(name, port, errno, err, err_cap);
		goto out;
	}
	error = request(made, SIOCGIFHWADDR, &answer);
	if (error == 0 && answer.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
		status = refuse(name, port, PSP_DP_ENOTSUP, "it is not an Ethernet interface", err,
				err_cap);
		goto out;
	}
	if (error == 0)
		error = request(made, SIOCGIFINDEX, &answer);
	if (error == 0) {
		made->ifindex = (uint32_t)answer.ifr_ifindex;
		error = set_up(made);
	}
	if (error != 0) {
		status = refuse_errno(name, port, error, err, err_cap);
		goto out;
	}
	*out = made;
	return PSP_DP_OK;
out:
	soft_port_close(made);
	return status;
}

void soft_port_close(struct soft_port *port)
{
	if (port == NULL)
		return;
	if (port->fd >= 0)
		(void)close(port->fd);
	free(port);
}

int soft_port_fd(const struct soft_port *port)
{
	return port->fd;
}

int32_t soft_port_query(struct soft_port *port, struct psp_dp_port_info *info)
{
	const int running = IFF_UP | IFF_RUNNING;
	struct ifreq mtu, address, flags;
	int error = request(port, SIOCGIFMTU, &mtu);

	if (error == 0)
		error = request(port, SIOCGIFHWADDR, &address);
	if (error == 0)
		error = request(port, SIOCGIFFLAGS, &flags);
	if (error != 0)
		return error == ENODEV ? PSP_DP_ENODEV : PSP_DP_EIO;
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->ifindex = port->ifindex;
	info->mtu = (uint32_t)mtu.ifr_mtu;
	memcpy(info->mac, address.ifr_hwaddr.sa_data, sizeof(info->mac));
	info->link_up = (flags.ifr_flags & running) == running;
	return PSP_DP_OK;
}
