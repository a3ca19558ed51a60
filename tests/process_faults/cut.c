/* Cuts the power of the ext4 file system at argv[1]: what was not written to its device is gone.
 * EXT4_IOC_SHUTDOWN with the flags argv[2]: 1 flushes the journal first, 2 does not.
 * Waits for the end of its input first, so that a cut comes at once when it is wanted.
 * If it is given, of each file in the folder argv[3] about half of the pages, picked by the number argv[4], reach
 * the device before the cut: a kernel writes back when and in what order it likes.
 * A program of its own, for it needs unsafe calls. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static void write_back_some(const char *path, unsigned seed) {
    DIR *folder = opendir(path);
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat status;
        int file = openat(dirfd(folder), entry->d_name, O_RDWR);
        if (file < 0) {
            continue;
        }
        if (fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
            for (off_t at = 0; at < status.st_size; at += PAGE) {
                if (rand_r(&seed) & 0x100) {
                    sync_file_range(file, at, PAGE,
                                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                        SYNC_FILE_RANGE_WAIT_AFTER);
                }
            }
        }
        close(file);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    uint32_t flags = argc >= 3 ? (uint32_t)atoi(argv[2]) : 0;
    int folder = argc >= 3 ? open(argv[1], O_RDONLY) : -1;
    while (getchar() != EOF) {
    }
    if (argc == 5) {
        write_back_some(argv[3], (unsigned)atoi(argv[4]));
    }
    if (folder < 0 || ioctl(folder, _IOR('X', 125, uint32_t), &flags) < 0) {
        perror("cut");
        return 1;
    }
    return 0;
}
