/* A stand-in for libnvidia-ml.so.1: as many GPUs as FAKE_GPUS lists, without any hardware.
 *
 * FAKE_GPUS          gigabytes of each GPU, such as "80,24"
 * FAKE_GPU_OTHERS    gigabytes that other processes take of each, such as "0,20"
 * FAKE_GPU_EXCLUSIVE set: every GPU takes one process at a time
 * FAKE_GPU_PROCESSES a folder with a file for each process on a GPU: its name is the process id, its
 *                    content the name of the GPU and gigabytes, such as "GPU-0 20"
 *
 * Only what the crate nvml-wrapper calls is here. The numbers are those of nvml.h.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { MOST = 16, GIGABYTE = 1000000000 };

typedef struct { int index; } *Device;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static struct { int index; } devices[MOST];

/* Returns how many numbers a list has, and the one at a position. */
static int numbers(const char *variable, int position, unsigned long long *value) {
    const char *at = getenv(variable);
    int count = 0;
    for (; at && *at; count++) {
        unsigned long long number = strtoull(at, NULL, 10);
        if (count == position) *value = number * GIGABYTE;
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return count;
}

static int count(void) {
    unsigned long long ignored;
    return numbers("FAKE_GPUS", -1, &ignored);
}

static unsigned processes(int index, Process *list, unsigned room) {
    const char *folder = getenv("FAKE_GPU_PROCESSES");
    DIR *open = folder ? opendir(folder) : NULL;
    unsigned found = 0;
    for (struct dirent *entry; open && (entry = readdir(open));) {
        char path[4096], name[64];
        unsigned long long gigabytes;
        int pid = atoi(entry->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = pid > 0 && kill(pid, 0) == 0 ? fopen(path, "r") : NULL;
        if (!file) continue;
        int here = fscanf(file, "%63s %llu", name, &gigabytes) == 2 && atoi(name + strlen("GPU-")) == index;
        fclose(file);
        if (!here) continue;
        if (found < room) list[found] = (Process){pid, gigabytes * GIGABYTE, -1u, -1u};
        found++;
    }
    if (open) closedir(open);
    return found;
}

int nvmlInit_v2(void) { return count() > 0 ? SUCCESS : NOT_FOUND; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "an error of the stand-in"; }

int nvmlSystemGetDriverVersion(char *text, unsigned room) {
    snprintf(text, room, "580.00");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *result) {
    *result = count();
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    if (index >= (unsigned)count() || index >= MOST) return INVALID_ARGUMENT;
    devices[index].index = index;
    *device = (Device)&devices[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *name, Device *device) {
    if (strncmp(name, "GPU-", 4) != 0) return NOT_FOUND;
    return nvmlDeviceGetHandleByIndex_v2(atoi(name + 4), device);
}

int nvmlDeviceGetName(Device device, char *text, unsigned room) {
    (void)device;
    snprintf(text, room, "Fake GPU");
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device device, char *text, unsigned room) {
    snprintf(text, room, "GPU-%d", device->index);
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(Device device, unsigned *mode) {
    (void)device;
    *mode = getenv("FAKE_GPU_EXCLUSIVE") ? 3 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    (void)device, (void)current, (void)pending;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, Memory *memory) {
    Process list[256];
    unsigned found = processes(device->index, list, 256);
    unsigned long long total = 0, used = 0;
    numbers("FAKE_GPUS", device->index, &total);
    numbers("FAKE_GPU_OTHERS", device->index, &used);
    for (unsigned at = 0; at < found && at < 256; at++) used += list[at].used;
    memory->total = total;
    memory->reserved = 0;
    memory->used = used;
    memory->free = total - used;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *room, Process *list) {
    unsigned found = processes(device->index, list, *room);
    int fits = found <= *room;
    *room = found;
    return fits ? SUCCESS : INSUFFICIENT_SIZE;
}
