/* Linked into the static binary: names are looked up in the hosts file and by DNS, whatever nsswitch.conf says.
   glibc would load the libraries that are named there, of another glibc where this binary has come to from
   elsewhere, and crash. */
#include <nss.h>

__attribute__((constructor)) static void names(void)
{
    __nss_configure_lookup("hosts", "files dns");
}
