#include "common/explanations.hpp"

#include <array>

namespace {

constexpr std::array explanations{
    Explanation{
        "socket",
        "asks the kernel for a new socket of a family (AF_INET, AF_INET6, AF_UNIX) and a type (SOCK_STREAM, "
        "SOCK_DGRAM). It has no address and no peer yet; what comes back is a descriptor, a small number like that "
        "of an open file.",
        "커널에게 주소 체계(AF_INET, AF_INET6, AF_UNIX)와 종류(SOCK_STREAM, SOCK_DGRAM)를 말하고 새 소켓을 받습니다. "
        "아직 주소도 "
        "상대도 없으며, 돌려받는 것은 열린 파일처럼 작은 번호인 디스크립터입니다."},
    Explanation{
        "bind",
        "gives the socket its own address: an IP address and a port, or a path. Servers need it so that clients can "
        "find them; a client that leaves it out gets a port from the kernel. Port 0 asks for any free one.",
        "소켓에 자기 주소(IP 주소와 포트, 또는 경로)를 붙입니다. 클라이언트가 찾아올 수 있도록 서버에 필요하고, "
        "클라이언트가 생략하면 커널이 "
        "포트를 골라 줍니다. 포트 0은 아무 빈 포트나 달라는 뜻입니다."},
    Explanation{
        "listen",
        "makes a stream socket passive: from now on the kernel itself answers connection requests and queues the "
        "finished connections, at most as many as the backlog says, until accept() takes them.",
        "스트림 소켓을 기다리는 소켓으로 바꿉니다. 이제부터 커널이 스스로 연결 요청에 답하고, 이루어진 연결을 백로그 "
        "수까지 줄 세워 두면 "
        "accept()가 꺼내 갑니다."},
    Explanation{
        "accept",
        "takes the first finished connection out of the listener's queue and returns a new descriptor for it; the "
        "listener goes on listening. With an empty queue it waits. The handshake was over before: accept() sends "
        "nothing.",
        "기다리는 소켓의 줄에서 맨 앞의 연결을 꺼내 새 디스크립터로 돌려줍니다. 기다리던 소켓은 계속 기다립니다. 줄이 "
        "비었으면 올 때까지 "
        "멈춥니다. 핸드셰이크는 이미 끝났으므로 accept()는 아무것도 보내지 않습니다."},
    Explanation{
        "connect",
        "on a stream socket, opens a connection to an address: TCP sends SYN and waits for SYN+ACK. On a datagram "
        "socket it sends nothing and only notes the peer, so that send() knows where to and recv() from whom.",
        "스트림 소켓에서는 그 주소로 연결을 엽니다. TCP는 SYN을 보내고 SYN+ACK을 기다립니다. 데이터그램 소켓에서는 "
        "아무것도 보내지 않고 상대만 "
        "적어 두어, send()가 보낼 곳과 recv()가 받을 곳을 알게 합니다."},
    Explanation{
        "send",
        "copies bytes into the socket's send buffer and returns how many it took, which may be fewer than offered. "
        "They have not arrived then, perhaps not even left. With a full buffer it waits. A datagram is taken whole or "
        "not at all.",
        "바이트를 소켓의 송신 버퍼에 복사하고 몇 바이트를 받았는지 돌려줍니다. 준 것보다 적을 수 있습니다. 그때 도착한 "
        "것은 아니며 떠나지도 "
        "않았을 수 있습니다. 버퍼가 가득하면 기다립니다. 데이터그램은 통째로 받거나 아예 받지 않습니다."},
    Explanation{
        "recv",
        "copies bytes that have arrived out of the receive buffer: at most as many as asked for, often fewer. With "
        "none there it waits. On a stream, 0 means that the peer has sent all that it will send (its FIN came). Of a "
        "datagram, what there is no room for is lost.",
        "도착한 바이트를 수신 버퍼에서 꺼냅니다. 달라고 한 만큼까지, 흔히 더 적게 줍니다. 없으면 기다립니다. "
        "스트림에서 0은 상대가 보낼 것을 다 "
        "보냈다(FIN이 왔다)는 뜻입니다. 데이터그램은 자리가 모자라면 나머지가 버려집니다."},
    Explanation{"sendto",
                "sends one datagram to the address given with it, whole or not at all. On UDP nothing tells whether it "
                "arrived. An unbound socket is given a port by the kernel at its first sendto().",
                "함께 준 주소로 데이터그램 하나를 통째로 보냅니다. UDP에서는 도착했는지 아무도 알려 주지 않습니다. "
                "주소가 없는 소켓은 첫 sendto()에서 "
                "커널이 포트를 붙여 줍니다."},
    Explanation{
        "recvfrom",
        "takes one datagram and the address it came from; waits if there is none. What does not fit into the buffer "
        "is cut off and lost. 0 is an empty datagram, not an end.",
        "데이터그램 하나와 보낸 쪽의 주소를 받습니다. 없으면 기다립니다. 버퍼에 들어가지 않는 나머지는 잘려 "
        "사라집니다. 0은 끝이 아니라 빈 "
        "데이터그램입니다."},
    Explanation{
        "sendmsg",
        "is send() for several buffers at once, with an address and ancillary data where wanted: descriptors and "
        "credentials over a Unix socket travel this way (cmsg(3)).",
        "여러 버퍼를 한 번에 보내는 send()이며, 주소와 보조 데이터도 실을 수 있습니다. Unix 소켓으로 디스크립터와 자격 "
        "증명이 이렇게 갑니다"
        "(cmsg(3))."},
    Explanation{
        "recvmsg",
        "is recv() into several buffers, with the sender's address, ancillary data and flags: MSG_TRUNC says that "
        "data was cut off, MSG_CTRUNC that ancillary data was. With MSG_ERRQUEUE it takes from the queue of errors "
        "instead (Linux, IP_RECVERR): what ICMP said about a datagram of this socket, and the datagram.",
        "여러 버퍼로 받는 recv()이며, 보낸 쪽 주소와 보조 데이터, 플래그도 줍니다. MSG_TRUNC는 데이터가, MSG_CTRUNC는 "
        "보조 데이터가 잘렸다는 뜻입니다. MSG_ERRQUEUE를 주면 오류 큐에서 꺼냅니다(Linux, IP_RECVERR). 이 소켓이 보낸 "
        "데이터그램에 대해 ICMP가 알려 온 것과 그 데이터그램입니다."},
    Explanation{"sendmmsg",
                "is many sendmsg() in one call (Linux): each datagram has its own address and buffers. It returns how "
                "many were sent; an error is returned only if the first was not.",
                "sendmsg() 여러 번을 호출 하나로 합니다(Linux). 데이터그램마다 주소와 버퍼가 따로 있습니다. 보낸 수를 "
                "돌려주며, 첫 번째부터 보내지 못했을 때만 오류가 됩니다."},
    Explanation{
        "recvmmsg",
        "is many recvmsg() in one call (Linux): it takes as many datagrams as wait, at most so many, and "
        "returns how many. With MSG_WAITFORONE it waits for the first alone.",
        "recvmsg() 여러 번을 호출 하나로 합니다(Linux). 기다리고 있는 데이터그램을 정해진 수까지 꺼내고 그 수를 "
        "돌려줍니다. MSG_WAITFORONE을 주면 첫 번째만 기다립니다."},
    Explanation{
        "shutdown",
        "ends one direction of a connection, or both, for every process that holds it. SHUT_WR sends FIN behind the "
        "last byte: the peer's recv() returns 0, and this side can still receive.",
        "연결의 한 방향 또는 양방향을, 그것을 가진 모든 프로세스에 대해 끝냅니다. SHUT_WR는 마지막 바이트 뒤에 FIN을 "
        "보냅니다. 상대의 recv()는 "
        "0을 돌려주고, 이쪽은 계속 받을 수 있습니다."},
    Explanation{
        "close",
        "gives the descriptor back. When it was the last one of a connection, TCP sends FIN and finishes without us "
        "(TIME_WAIT); with unread bytes in the buffer it sends RST instead.",
        "디스크립터를 돌려줍니다. 그 연결의 마지막 디스크립터였다면 TCP가 FIN을 보내고 우리 없이 "
        "마무리합니다(TIME_WAIT). 버퍼에 읽지 않은 "
        "바이트가 있으면 대신 RST를 보냅니다."},
    Explanation{
        "setsockopt",
        "changes an option of the socket, at a level: SOL_SOCKET for all kinds, IPPROTO_TCP and others for one. "
        "SO_REUSEADDR lets a server bind while old connections of its port are in TIME_WAIT; SO_RCVTIMEO limits how "
        "long recv() waits; SO_BROADCAST allows to send to everybody, and IP_ADD_MEMBERSHIP or IPV6_JOIN_GROUP joins a "
        "group.",
        "소켓의 옵션을 바꿉니다. 수준이 있습니다: SOL_SOCKET은 모든 소켓, IPPROTO_TCP 등은 그 프로토콜. SO_REUSEADDR는 "
        "예전 연결이 TIME_WAIT에 "
        "있어도 bind하게 하고, SO_RCVTIMEO는 recv()가 기다리는 시간을 제한합니다. SO_BROADCAST는 모두에게 보내도록 "
        "허락하고, IP_ADD_MEMBERSHIP과 IPV6_JOIN_GROUP은 그룹에 들어갑니다."},
    Explanation{
        "getsockopt",
        "reads an option of the socket. SO_ERROR tells how a non-blocking connect() ended, TCP_INFO what the kernel "
        "knows of the connection.",
        "소켓의 옵션을 읽습니다. SO_ERROR는 논블로킹 connect()가 어떻게 끝났는지, TCP_INFO는 커널이 연결에 대해 아는 "
        "것을 알려 줍니다."},
    Explanation{
        "getsockname",
        "asks for the socket's own address. After bind() with port 0, or after connect(), it shows what the kernel "
        "picked.",
        "소켓 자신의 주소를 묻습니다. 포트 0으로 bind()한 뒤나 connect() 뒤에 커널이 고른 것을 보여 줍니다."},
    Explanation{"getpeername", "asks for the address of the other end. ENOTCONN: there is none (any more).",
                "상대쪽 끝의 주소를 묻습니다. ENOTCONN은 상대가 (더는) 없다는 뜻입니다."},
    Explanation{
        "getaddrinfo",
        "turns a host name and a port into socket addresses, IPv4 and IPv6, in the order in which they should be "
        "tried. It may ask /etc/hosts and DNS, and it reports errors by its own numbers (EAI_...), not by errno.",
        "호스트 이름과 포트를 IPv4와 IPv6 소켓 주소로, 시도할 순서대로 바꿉니다. /etc/hosts와 DNS에 물을 수 있고, "
        "오류는 errno가 아니라 "
        "자체 번호(EAI_...)로 알립니다."},
    Explanation{
        "getnameinfo",
        "is the way back: from a socket address to a host name and a service, or with NI_NUMERICHOST to the digits.",
        "반대 방향입니다. 소켓 주소를 호스트 이름과 서비스로, NI_NUMERICHOST를 주면 숫자로 바꿉니다."},
    Explanation{
        "getifaddrs",
        "lists the network interfaces of this machine, each with its addresses: the loopback, an Ethernet card, "
        "a tunnel. Groups are joined on one of them (getifaddrs(3)).",
        "이 기계의 네트워크 인터페이스와 그 주소들(루프백, 이더넷 카드, 터널)을 늘어놓습니다. 그룹에는 그 가운데 "
        "하나에서 들어갑니다(getifaddrs(3))."},
    Explanation{"poll",
                "waits until one of several descriptors is ready: POLLIN, a read would not block (data, end or a new "
                "connection); POLLOUT, a write would not. It returns how many are, 0 if the time ran out.",
                "여러 디스크립터 가운데 하나가 준비될 때까지 기다립니다. POLLIN은 읽어도 멈추지 않음(데이터, 끝, 새 "
                "연결), POLLOUT은 써도 멈추지 않음을 "
                "뜻합니다. 준비된 수를, 시간이 다 되면 0을 돌려줍니다."},
    Explanation{"read",
                "reads bytes from any descriptor; on a socket it is recv() without flags. 0 is the end of the input.",
                "아무 디스크립터에서나 바이트를 읽습니다. 소켓에서는 플래그 없는 recv()입니다. 0은 입력의 끝입니다."},
    Explanation{
        "write",
        "writes bytes to any descriptor and returns how many were taken; on a socket it is send() without flags.",
        "아무 디스크립터에나 바이트를 쓰고 몇 바이트를 썼는지 돌려줍니다. 소켓에서는 플래그 없는 send()입니다."},
    Explanation{
        "pipe",
        "makes a pair of descriptors: what is written to the second can be read from the first. A signal handler "
        "that writes a byte into one wakes a program that waits in poll() or epoll_wait().",
        "디스크립터 한 쌍을 만듭니다. 둘째에 쓴 것을 첫째에서 읽습니다. 시그널 핸들러가 한 바이트를 쓰면 poll()이나 "
        "epoll_wait()에서 기다리던 프로그램이 깨어납니다."},
    Explanation{
        "select",
        "is the older poll(): which descriptors to watch stands in sets of bits, a bit for each number, and comes back "
        "in the same sets. They have room for FD_SETSIZE numbers (1024), and a larger one writes beside them.",
        "poll()보다 오래된 호출입니다. 지켜볼 디스크립터를 번호마다 비트 하나인 집합으로 주고, 결과도 같은 집합으로 "
        "받습니다. 번호는 FD_SETSIZE(1024)보다 작아야 하며, 더 크면 집합 밖의 메모리를 덮어씁니다."},
    Explanation{
        "fork",
        "makes a second process, a copy of this one that goes on from the same place: it returns 0 in the child, and "
        "the child's number in the parent. All descriptors are open in both, and a connection ends when both have "
        "closed it.",
        "이 프로세스를 복사한 둘째 프로세스를 만들고, 둘 다 같은 곳에서 계속합니다. 자식에서는 0을, 부모에서는 자식의 "
        "번호를 돌려줍니다. 모든 디스크립터가 양쪽에 열려 있어, 둘 다 닫아야 연결이 끝납니다."},
    Explanation{
        "waitpid", "waits until a child process has ended, and tells how: by exit() with a status, or by which signal.",
        "자식 프로세스가 끝날 때까지 기다리고, 어떻게 끝났는지(exit()의 상태인지, 어느 시그널인지) 알려 줍니다."},
    Explanation{"dup", "makes a second descriptor of the same open file or socket: closing one leaves the other.",
                "열린 파일이나 소켓에 디스크립터를 하나 더 만듭니다. 하나를 닫아도 다른 하나는 그대로입니다."},
    Explanation{"socketpair",
                "makes two sockets that are connected to each other, and to nothing else. They have no name, so that "
                "nobody can "
                "find them: who is to talk over them must inherit a descriptor, or be handed one.",
                "서로에게만 연결된 소켓 두 개를 만듭니다. 이름이 없어 아무도 찾아올 수 없으므로, 대화할 프로세스는 "
                "디스크립터를 "
                "물려받거나 건네받아야 합니다."},
    Explanation{
        "kill",
        "sends a signal to a process: SIGTERM asks it to end, SIGKILL ends it, 0 only asks whether it is there.",
        "프로세스에 시그널을 보냅니다. SIGTERM은 끝내 달라는 부탁이고, SIGKILL은 곧바로 끝내며, 0은 있는지만 "
        "묻습니다."},
    Explanation{
        "chmod",
        "sets who may use a file or directory. Who may not write to a Unix socket's file may not connect (Linux and "
        "others, not promised by POSIX); who may not enter its directory does not even get to it.",
        "파일이나 디렉터리를 누가 쓸 수 있는지 정합니다. Unix 소켓의 파일에 쓸 수 없으면 connect할 수 없고(Linux 등, "
        "POSIX의 약속은 아님), 디렉터리에 들어갈 수 없으면 파일까지 가지도 못합니다."},
    Explanation{"mkdir",
                "makes a directory with these permissions, of which the umask takes some away. EEXIST: it is there.",
                "디렉터리를 이 권한으로 만듭니다. umask가 권한의 일부를 뺍니다. EEXIST는 이미 있다는 뜻입니다."},
    Explanation{"rmdir", "removes a directory, if it is empty: ENOTEMPTY says that it is not.",
                "비어 있는 디렉터리를 지웁니다. ENOTEMPTY는 비어 있지 않다는 뜻입니다."},
    Explanation{"mkdtemp",
                "makes a directory with a name that nobody has used before, and that only this user can enter.",
                "아무도 쓴 적 없는 이름으로, 이 사용자만 들어갈 수 있는 디렉터리를 만듭니다."},
    Explanation{"epoll_create1",
                "makes an epoll instance (Linux): a set of descriptors that the kernel watches for us from now on.",
                "epoll 인스턴스를 만듭니다(Linux). 이제부터 커널이 대신 지켜볼 디스크립터의 모음입니다."},
    Explanation{
        "epoll_ctl",
        "adds a descriptor to an epoll instance, changes what it is watched for (EPOLLIN, EPOLLOUT), or removes it.",
        "epoll 인스턴스에 디스크립터를 더하거나, 지켜볼 것(EPOLLIN, EPOLLOUT)을 바꾸거나, 뺍니다."},
    Explanation{
        "epoll_wait",
        "waits until some of the watched descriptors are ready and returns only those: its cost grows with how many "
        "are ready, poll()'s with how many are watched.",
        "지켜보는 디스크립터 중 준비된 것이 생길 때까지 기다려 그것만 돌려줍니다. 비용은 준비된 수에 비례하고, "
        "poll()은 지켜보는 수에 비례합니다."},
    Explanation{"kqueue",
                "makes a kernel event queue (macOS, BSD), which watches descriptors for us as epoll does on Linux.",
                "커널 이벤트 큐를 만듭니다(macOS, BSD). Linux의 epoll처럼 디스크립터를 대신 지켜봅니다."},
    Explanation{"kevent", "changes what a kqueue watches, and waits for events, both in one call.",
                "kqueue가 지켜볼 것을 바꾸고 이벤트를 기다리는 일을 한 호출로 합니다."},
    Explanation{"getrlimit",
                "asks how much of a resource the process may use: RLIMIT_NOFILE is the number of open descriptors.",
                "프로세스가 쓸 수 있는 자원의 한도를 묻습니다. RLIMIT_NOFILE은 열린 디스크립터의 수입니다."},
    Explanation{"setrlimit", "changes that: the soft limit up to the hard limit, which only root can raise.",
                "그 한도를 바꿉니다. 소프트 한도는 하드 한도까지, 하드 한도는 root만 올릴 수 있습니다."},
    Explanation{
        "unlink",
        "removes a name from the file system. A Unix socket's file is only a name: connections that exist live on, "
        "but nobody new can find the server.",
        "파일 시스템에서 이름을 지웁니다. Unix 소켓의 파일은 이름일 뿐이어서 이미 있는 연결은 계속되지만, 새로 찾아올 "
        "수는 없습니다."},
    Explanation{
        "fcntl",
        "reads or sets what belongs to a descriptor: with F_SETFL and O_NONBLOCK, calls that would wait fail with "
        "EAGAIN instead.",
        "디스크립터의 성질을 읽거나 바꿉니다. F_SETFL과 O_NONBLOCK을 주면 기다려야 할 호출이 기다리지 않고 EAGAIN으로 "
        "실패합니다."},
    Explanation{"unshare",
                "takes the process out of what it shares with others, on Linux: CLONE_NEWNET gives it a network of its "
                "own, with "
                "nothing in it but a loopback interface; CLONE_NEWUSER makes it root there, and only there.",
                "프로세스를 다른 프로세스와 공유하던 것에서 떼어 냅니다(Linux). CLONE_NEWNET은 루프백만 있는 자기만의 "
                "네트워크를 주고, "
                "CLONE_NEWUSER는 그 안에서만 root가 되게 합니다."},
    Explanation{"ioctl",
                "asks the driver or the protocol behind a descriptor something of its own: FIONREAD, how much there is "
                "to read; "
                "SIOCOUTQ, how much of what was sent is not acknowledged; SIOCATMARK, whether the urgent mark is next.",
                "디스크립터 뒤의 드라이버나 프로토콜에 고유한 것을 묻습니다. FIONREAD는 읽을 양, SIOCOUTQ는 보냈으나 "
                "확인받지 못한 양, "
                "SIOCATMARK는 긴급 표시가 다음 차례인지를 알려 줍니다."},
    Explanation{
        "lstat",
        "tells what a path names (a file, a directory, a socket), who owns it and who may use it, without following "
        "a symbolic link.",
        "경로가 무엇의 이름인지(파일, 디렉터리, 소켓), 누구의 것이고 누가 쓸 수 있는지를 심볼릭 링크를 따라가지 않고 "
        "알려 줍니다."},
    Explanation{"open",
                "opens a file and returns a descriptor for it, from the same row of numbers as those of sockets.",
                "파일을 열고 그 디스크립터를 돌려줍니다. 번호는 소켓과 같은 줄에서 나옵니다."},
    Explanation{"chdir", "goes to another directory: paths that do not begin with / begin there from now on.",
                "다른 디렉터리로 갑니다. 이제 /로 시작하지 않는 경로는 거기서 시작합니다."},
    Explanation{"setuid", "makes the process another user's. Root may become anybody; afterwards there is no way back.",
                "프로세스를 다른 사용자의 것으로 만듭니다. root는 누구나 될 수 있지만, 그 뒤에는 돌아올 수 없습니다."},
    Explanation{"setgid",
                "makes the process another group's; to be called before setuid(), which takes away the right to.",
                "프로세스의 그룹을 바꿉니다. setuid()를 부르면 그럴 권리가 없어지므로 먼저 불러야 합니다."},
    Explanation{"setgroups",
                "sets the further groups that the process belongs to: who becomes another user must lose them, too.",
                "프로세스가 속한 나머지 그룹을 정합니다. 다른 사용자가 되려면 이것도 버려야 합니다."},
    Explanation{"getpeereid", "tells as which user and group the other end connected (macOS, BSD; Linux: SO_PEERCRED).",
                "상대가 어느 사용자와 그룹으로 연결했는지 알려 줍니다(macOS, BSD. Linux에서는 SO_PEERCRED)."},
    Explanation{"execvp",
                "replaces the program that this process runs by another one, from its beginning. The process stays the "
                "same, and "
                "so do its descriptors, but for those marked close-on-exec (FD_CLOEXEC). If it returns, it has failed.",
                "이 프로세스가 돌리는 프로그램을 다른 프로그램으로 바꾸어 처음부터 시작합니다. 프로세스는 그대로이고, "
                "close-on-exec(FD_CLOEXEC) 표시가 없는 디스크립터도 그대로 남습니다. 돌아왔다면 실패한 것입니다."},
    Explanation{"mkstemp", "makes a file with a name that nobody has used before, for this user only, and opens it.",
                "아무도 쓴 적 없는 이름으로, 이 사용자만 쓸 수 있는 파일을 만들어 엽니다."},
    Explanation{
        "openat",
        "opens a file by a name that is looked up in an open folder, and not from the top. With O_NOFOLLOW it "
        "fails (ELOOP) if the name is a symbolic link: so a server stays inside the folder that it serves.",
        "이미 연 디렉터리 안에서 이름을 찾아 파일을 엽니다. O_NOFOLLOW를 주면 심볼릭 링크일 때 실패(ELOOP)하므로 "
        "서버가 정해진 디렉터리 밖으로 나가지 않습니다."},
    Explanation{"stat", "tells a file's size, its kind, and when it was changed, by its path.",
                "경로가 가리키는 파일의 크기와 종류, 바뀐 시각을 알려 줍니다."},
    Explanation{"fstat", "tells the same of a file that is open: whatever happens to its name, it is this file.",
                "열린 파일에 대해 같은 것을 알려 줍니다. 이름이 어떻게 되든 바로 이 파일의 것입니다."},
    Explanation{"fstatat", "tells the same of a name in an open folder.",
                "열린 디렉터리 안에 있는 이름에 대해 같은 것을 알려 줍니다."},
    Explanation{"pread", "reads bytes from a place in a file, and leaves the file's own position where it is.",
                "파일의 정해진 위치에서 바이트를 읽습니다. 파일의 현재 위치는 그대로 둡니다."},
    Explanation{"sendfile",
                "sends bytes of a file through a socket (Linux). They go from the kernel's cache of the file to the "
                "socket, and never through the program's own memory, as they would with read() and send().",
                "파일의 바이트를 소켓으로 보냅니다(Linux). read()와 send()를 쓸 때와 달리 프로그램의 메모리를 거치지 "
                "않고 커널의 파일 캐시에서 소켓으로 바로 갑니다."},
    Explanation{
        "fsync",
        "waits until all that was written to a file is on the disk: after write() it is only in the kernel's memory.",
        "파일에 쓴 것이 모두 디스크에 닿을 때까지 기다립니다. write()가 돌아왔을 때는 아직 커널의 메모리에만 "
        "있습니다."},
    Explanation{
        "rename",
        "gives a file another name, in one step: whoever opens that name finds what it meant before, or this file, "
        "and nothing in between.",
        "파일의 이름을 한 번에 바꿉니다. 그 이름을 여는 쪽은 이전 파일이나 이 파일을 보며, 그 중간은 없습니다."},
    Explanation{"flock",
                "takes a lock on an open file, which others respect who ask for it, too; it ends with the descriptor.",
                "열린 파일에 잠금을 겁니다. 함께 잠금을 청하는 프로그램끼리만 지키며, 디스크립터가 닫히면 풀립니다."},
    Explanation{"ftruncate", "makes a file so long: what is beyond that is cut off, what is missing reads as zeros.",
                "파일의 길이를 정합니다. 넘치는 것은 잘리고 모자라는 곳은 0으로 읽힙니다."},
    Explanation{"lseek", "sets the position in a file at which the next read() or write() begins.",
                "다음 read()나 write()가 시작할 파일 안의 위치를 정합니다."},
    Explanation{"futimens", "sets when a file was last read and changed, as its next reader will be told.",
                "파일을 마지막으로 읽은 시각과 바꾼 시각을 정합니다."},
};

}  // namespace

const Explanation* find_explanation(std::string_view call) {
    for (const Explanation& entry : explanations) {
        if (call == entry.call) return &entry;
    }
    return nullptr;
}
