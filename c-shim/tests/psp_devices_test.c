/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs tells of devices and switches, with a directory of our own in its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../psp/devices.h"
#include "test.h"

static char root[64];
static char said[1024];

static void note(void *context, const char *line)
{
	size_t at = strlen(said);

	(void)context;
	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

static bool in_root(const char *script)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "cd %s && %s", root, script);
	return system(command) == 0;
}

static void a_machine_without_devices_tells_nothing(void)
{
	said[0] = 0;
	psp_devices_tell(root, note, NULL);
	CHECK(said[0] == 0);
}

static void a_device_has_address_type_firmware_and_board(void)
{
	CHECK(in_root(
		"mkdir -p sys/class/infiniband/mlx5_0 sys/devices/pci0/0000:03:00.0 && "
		"ln -s ../../../devices/pci0/0000:03:00.0 sys/class/infiniband/mlx5_0/device && "
		"echo MT41692 > sys/class/infiniband/mlx5_0/hca_type && "
		"echo 32.39.1002 > sys/class/infiniband/mlx5_0/fw_ver && "
		"echo MT_0000000884 > sys/class/infiniband/mlx5_0/board_id"));
	said[0] = 0;
	psp_devices_tell(root, note, NULL);
	CHECK(strcmp(said, "hca 0000:03:00.0 mlx5_0 MT41692 32.39.1002 MT_0000000884\n") == 0);
}

static void what_cannot_be_read_is_a_dash(void)
{
	CHECK(in_root("rm sys/class/infiniband/mlx5_0/device sys/class/infiniband/mlx5_0/fw_ver && "
		      ": > sys/class/infiniband/mlx5_0/board_id"));
	said[0] = 0;
	psp_devices_tell(root, note, NULL);
	CHECK(strcmp(said, "hca - mlx5_0 MT41692 - -\n") == 0);
}

static void an_interface_of_a_switch_names_it_and_no_other_does(void)
{
	CHECK(in_root("rm -r sys/class/infiniband && mkdir -p sys/class/net/p0 sys/class/net/lo && "
		      "echo b83fd2 > sys/class/net/p0/phys_switch_id && "
		      "echo p0 > sys/class/net/p0/phys_port_name"));
	said[0] = 0;
	psp_devices_tell(root, note, NULL);
	CHECK(strcmp(said, "switch p0 b83fd2 p0\n") == 0);
}

int main(void)
{
	int gone;

	(void)snprintf(root, sizeof(root), "/tmp/psp-devices-XXXXXX");
	if (mkdtemp(root) == NULL)
		return 1;
	RUN(a_machine_without_devices_tells_nothing);
	RUN(a_device_has_address_type_firmware_and_board);
	RUN(what_cannot_be_read_is_a_dash);
	RUN(an_interface_of_a_switch_names_it_and_no_other_does);
	gone = in_root("cd / && rm -rf \"$OLDPWD\"") ? 0 : 1;
	return gone == 0 ? test_summary() : 1;
}
