# Starts systemd as the first process of namespaces of its own: boot-machine.sh <folder with root/>
# It ends with this process. The network is that of who calls.
set -e
# Where administrators' programs are, which not everybody looks for.
export PATH="$PATH:/usr/sbin:/sbin"
folder="$1"
if [ "${STAGE:-}" = "" ]; then
  # A control group of its own, wherever this machine has mounted them, or not.
  exec env STAGE=group unshare --mount --propagation private sh "$0" "$folder"
fi
if [ "$STAGE" = group ]; then
  mkdir -p "$folder/cgroup"
  mount -t cgroup2 cgroup2 "$folder/cgroup"
  mkdir -p "$folder/cgroup/glissade-machine-$$"
  echo $$ >"$folder/cgroup/glissade-machine-$$/cgroup.procs"
  exec env STAGE=machine unshare --fork --pid --mount --uts --ipc --cgroup --kill-child sh "$0" "$folder"
fi
root="$folder/root"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
touch "$root/dev/console"
mount --bind /dev/null "$root/dev/console"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
echo glissade-machine >"$root/etc/hostname"
# Whoever waits for the network would wait for ever: it is there already, and not this machine's to configure.
ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
mkdir "$root/.before"
cd "$root"
pivot_root . .before
umount -l /.before
# Credentials are mounted from a namespace beside, as on any machine.
mount --make-rshared /
exec env -i container=glissade-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no
