/* SPDX-License-Identifier: Apache-2.0 */
/* devices.h: NVIDIA's devices and the switches of interfaces, as sysfs tells them. */
#ifndef PSP_DEVICES_H
#define PSP_DEVICES_H

/* Called for each line, without its end: "hca PCI NAME TYPE FIRMWARE BOARD", "switch INTERFACE ID PORT"; "-": unknown. */
typedef void psp_devices_line(void *context, const char *line);

/* root: where /sys is, "" outside of tests. */
void psp_devices_tell(const char *root, psp_devices_line *say, void *context);

#endif
