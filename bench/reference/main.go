// The Go reference of the engines' benchmarks: gVisor's netstack on wireguard-go in one unprivileged process, as
// Debian packages both, joined in the plain way. It speaks the command line of bench/engine_peer.cc and prints the same
// line, so that one harness drives either.
//
//	engine_reference CONFIG COMMAND ADDRESS:PORT NUMBER [NUMBER]
//
// CONFIG is a file of wireguard-go's set operation, with our overlay address in a first line "address=10.9.0.2".
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	mtu   = 1420
	nicID = 1
)

// The first byte of a connection says what the server at the other end is to do: send back what comes (that byte
// too), read until the end and close, or send as many bytes as the next eight say.
const (
	kindEcho   = 1
	kindSink   = 2
	kindSource = 3
)

// stackTun is the "TUN device" that wireguard-go reads packets from and writes them to.
type stackTun struct {
	endpoint *channel.Endpoint
	events   chan tun.Event
	done     context.Context
	stop     context.CancelFunc
}

func (t *stackTun) File() *os.File         { return nil }
func (t *stackTun) Flush() error           { return nil }
func (t *stackTun) MTU() (int, error)      { return mtu, nil }
func (t *stackTun) Name() (string, error)  { return "stack", nil }
func (t *stackTun) Events() chan tun.Event { return t.events }

func (t *stackTun) Read(into []byte, offset int) (int, error) {
	packet := t.endpoint.ReadContext(t.done)
	if packet.IsNil() {
		return 0, os.ErrClosed
	}
	defer packet.DecRef()
	n := offset
	for _, slice := range packet.AsSlices() {
		n += copy(into[n:], slice)
	}
	return n - offset, nil
}

func (t *stackTun) Write(from []byte, offset int) (int, error) {
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: bufferv2.MakeWithData(from[offset:])})
	defer packet.DecRef()
	t.endpoint.InjectInbound(header.IPv4ProtocolNumber, packet)
	return len(from), nil
}

func (t *stackTun) Close() error {
	t.stop()
	close(t.events)
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func checkStack(err tcpip.Error) {
	if err != nil {
		log.Fatal(err.String())
	}
}

func newStack(address string) (*stack.Stack, *stackTun) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	checkStack(s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack))
	link := channel.New(1024, mtu, "")
	checkStack(s.CreateNIC(nicID, link))
	checkStack(s.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.Address(net.ParseIP(address).To4()).WithPrefix(),
	}, stack.AddressProperties{}))
	s.AddRoute(tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: nicID})
	done, stop := context.WithCancel(context.Background())
	return s, &stackTun{endpoint: link, events: make(chan tun.Event, 1), done: done, stop: stop}
}

type peer struct {
	stack  *stack.Stack
	remote tcpip.FullAddress
}

func (p *peer) dial() net.Conn {
	c, err := gonet.DialTCP(p.stack, p.remote, ipv4.ProtocolNumber)
	check(err)
	return c
}

func (p *peer) upload(bytes int64) {
	c := p.dial()
	_, err := c.Write([]byte{kindSink})
	check(err)
	chunk := make([]byte, 64<<10)
	for left := bytes; left > 0; {
		n := int64(len(chunk))
		if left < n {
			n = left
		}
		written, err := c.Write(chunk[:n])
		check(err)
		left -= int64(written)
	}
	check(c.(*gonet.TCPConn).CloseWrite())
	// The other side closes when it has all.
	_, err = io.Copy(io.Discard, c)
	check(err)
	c.Close()
}

func (p *peer) download(bytes int64) {
	c := p.dial()
	_, err := c.Write(binary.BigEndian.AppendUint64([]byte{kindSource}, uint64(bytes)))
	check(err)
	buffer := make([]byte, 64<<10)
	for got := int64(0); got < bytes; {
		n, err := c.Read(buffer)
		check(err)
		got += int64(n)
	}
	c.Close()
}

func once(c net.Conn, b []byte) {
	_, err := c.Write(b)
	check(err)
	_, err = io.ReadFull(c, b)
	check(err)
}

func (p *peer) connects(count, clients int64) {
	var wait sync.WaitGroup
	for i := int64(0); i < clients; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := int64(0); j < count/clients; j++ {
				c := p.dial()
				once(c, []byte{kindEcho})
				c.Close()
			}
		}()
	}
	wait.Wait()
}

// The median of a round trip, in microseconds.
func (p *peer) echo(count int64) float64 {
	c := p.dial()
	times := make([]time.Duration, count)
	for i := range times {
		start := time.Now()
		once(c, []byte{kindEcho})
		times[i] = time.Since(start)
	}
	c.Close()
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return float64(times[count/2].Nanoseconds()) / 1000
}

func rssKiB() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	check(err)
	return pages * float64(os.Getpagesize()) / 1024
}

// KiB for each of `count` connections that are open and idle.
func (p *peer) hold(count int64) float64 {
	once(p.dial(), []byte{kindEcho})
	before := rssKiB()
	held := make([]net.Conn, count)
	for i := range held {
		held[i] = p.dial()
		once(held[i], []byte{kindEcho})
	}
	runtime.GC()
	per := (rssKiB() - before) / float64(count)
	for _, c := range held {
		c.Close()
	}
	return per
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func peakRSSKiB() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Maxrss
}

// Connections of which the other side may not know that they are closed.
func open(s *stack.Stack) int {
	count := 0
	for _, endpoint := range s.RegisteredEndpoints() {
		if tcp.EndpointState(endpoint.(tcpip.Endpoint).State()) != tcp.StateTimeWait {
			count++
		}
	}
	return count
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 {
		log.Fatal("usage: engine_reference CONFIG upload|download|connects|echo|hold ADDRESS:PORT NUMBER [NUMBER]")
	}
	config, err := os.ReadFile(os.Args[1])
	check(err)
	first, rest, _ := strings.Cut(string(config), "\n")
	host, port, err := net.SplitHostPort(os.Args[3])
	check(err)
	portNumber, err := strconv.ParseUint(port, 10, 16)
	check(err)
	numbers := []int64{0, 1}
	for i, word := range os.Args[4:] {
		numbers[i], err = strconv.ParseInt(word, 10, 64)
		check(err)
	}

	s, t := newStack(strings.TrimPrefix(first, "address="))
	dev := device.NewDevice(t, conn.NewStdNetBind(), device.NewLogger(device.LogLevelError, "wireguard: "))
	check(dev.IpcSet(rest))
	check(dev.Up())
	p := &peer{stack: s, remote: tcpip.FullAddress{NIC: nicID, Addr: tcpip.Address(net.ParseIP(host).To4()), Port: uint16(portNumber)}}
	// The handshake is not what is measured.
	once(p.dial(), []byte{kindEcho})

	idle := rssKiB()
	cpu := cpuSeconds()
	start := time.Now()
	value := 0.0
	switch os.Args[2] {
	case "upload":
		p.upload(numbers[0])
	case "download":
		p.download(numbers[0])
	case "connects":
		p.connects(numbers[0], numbers[1])
	case "echo":
		value = p.echo(numbers[0])
	case "hold":
		value = p.hold(numbers[0])
	default:
		log.Fatalf("%s: no such command", os.Args[2])
	}
	fmt.Printf("seconds=%.6f cpu=%.6f idle_rss_kib=%.0f peak_rss_kib=%d value=%.3f\n", time.Since(start).Seconds(),
		cpuSeconds()-cpu, idle, peakRSSKiB(), value)
	// What is closed is told to the other side: what that still holds would be in the way of the next run.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && open(s) > 0; {
		time.Sleep(5 * time.Millisecond)
	}
}
