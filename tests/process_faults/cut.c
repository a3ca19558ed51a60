/* Cuts the power of the ext4 file system at argv[1]: what was not written to its device is gone.
 * EXT4_IOC_SHUTDOWN with the flags argv[2]: 1 flushes the journal first, 2 does not.
 * A program of its own, for it needs an unsafe call. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int argc, char **argv) {
    uint32_t flags = argc == 3 ? (uint32_t)atoi(argv[2]) : 0;
    int folder = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    if (folder < 0 || ioctl(folder, _IOR('X', 125, uint32_t), &flags) < 0) {
        perror("cut");
        return 1;
    }
    return 0;
}
