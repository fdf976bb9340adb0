/* A stand-in for libnvidia-ml.so.1: as many GPUs as FAKE_GPUS lists, without any hardware.
 *
 * FAKE_GPUS          gigabytes of each GPU, such as "80,24"
 * FAKE_GPU_OTHERS    gigabytes that other processes take of each, such as "0,20"
 * FAKE_GPU_EXCLUSIVE set: every GPU takes one process at a time
 * FAKE_GPU_PARTITIONS the number of equal partitions (MIG) of each GPU, such as "2,0"; 0: it is whole
 * FAKE_GPU_PROCESSES a folder with a file for each process on a GPU: its name is the process id, its
 *                    content the name of the GPU or partition and gigabytes, such as "GPU-0 20" or "MIG-0-1 5"
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

/* A GPU, or a partition of it: the number of a GPU's partition, or WHOLE. */
enum { WHOLE = -1, PARTITIONS = 7 };
typedef struct { int index, partition; } Place;
typedef Place *Device;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static Place devices[MOST], parts[MOST][PARTITIONS];

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

static int partitions(int index) {
    unsigned long long gigabytes = 0;
    numbers("FAKE_GPU_PARTITIONS", index, &gigabytes);
    return gigabytes / GIGABYTE;
}

static void name_of(Device device, char *text, unsigned room) {
    if (device->partition == WHOLE) snprintf(text, room, "GPU-%d", device->index);
    else snprintf(text, room, "MIG-%d-%d", device->index, device->partition);
}

static unsigned processes(Device device, Process *list, unsigned room) {
    char here_name[64];
    name_of(device, here_name, sizeof here_name);
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
        int here = fscanf(file, "%63s %llu", name, &gigabytes) == 2 && strcmp(name, here_name) == 0;
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
    devices[index] = (Place){index, WHOLE};
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *result) {
    *result = partitions(device->index) ? PARTITIONS : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *partition) {
    if (index >= (unsigned)partitions(device->index)) return NOT_FOUND;
    parts[device->index][index] = (Place){device->index, index};
    *partition = &parts[device->index][index];
    return SUCCESS;
}

int nvmlDeviceIsMigDeviceHandle(Device device, unsigned *result) {
    *result = device->partition != WHOLE;
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device partition, Device *device) {
    return nvmlDeviceGetHandleByIndex_v2(partition->index, device);
}

int nvmlDeviceGetHandleByUUID(const char *name, Device *device) {
    int index, partition;
    if (sscanf(name, "GPU-%d", &index) == 1) return nvmlDeviceGetHandleByIndex_v2(index, device);
    if (sscanf(name, "MIG-%d-%d", &index, &partition) != 2) return NOT_FOUND;
    int found = nvmlDeviceGetHandleByIndex_v2(index, device);
    return found == SUCCESS ? nvmlDeviceGetMigDeviceHandleByIndex(*device, partition, device) : found;
}

int nvmlDeviceGetName(Device device, char *text, unsigned room) {
    snprintf(text, room, device->partition == WHOLE ? "Fake GPU" : "Fake GPU MIG");
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device device, char *text, unsigned room) {
    name_of(device, text, room);
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(Device device, unsigned *mode) {
    (void)device;
    *mode = getenv("FAKE_GPU_EXCLUSIVE") ? 3 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    if (device->partition != WHOLE) return NOT_SUPPORTED;
    *current = *pending = partitions(device->index) > 0;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, Memory *memory) {
    Process list[256];
    unsigned found = processes(device, list, 256);
    unsigned long long total = 0, used = 0;
    numbers("FAKE_GPUS", device->index, &total);
    numbers("FAKE_GPU_OTHERS", device->index, &used);
    if (device->partition != WHOLE) total /= partitions(device->index), used = 0;
    for (unsigned at = 0; at < found && at < 256; at++) used += list[at].used;
    memory->total = total;
    memory->reserved = 0;
    memory->used = used;
    memory->free = total - used;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *room, Process *list) {
    unsigned found = processes(device, list, *room);
    int fits = found <= *room;
    *room = found;
    return fits ? SUCCESS : INSUFFICIENT_SIZE;
}
