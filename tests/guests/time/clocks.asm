; A guest that counts its clocks' interrupts, and says how many there were. The interval timer comes
; 1,000 times a second (a count of 1193), the real-time clock 128 times, the local APIC's timer 100
; times. What is typed at the serial port:
;   t  a line: interrupts of the three, high and low half of the time-stamp counter, whether
;      one of its readings was less than the one before, and kvmclock's eight words (0 without), in hex
;   i  interrupts off for a third of a second, then "on again"
;   b  from now on it spins in place of halting; h: it halts again
;   e  ends
%include "guest.inc"

LINE_STATUS equ 0x3fd
DATA equ 0x3f8
APIC equ 0xfee00000
APIC_VECTOR equ 0x40
KVM_CLOCK equ 0x4b564d01

%macro CMOS 2
  mov al, %1
  out 0x70, al
  mov al, %2
  out 0x71, al
%endmacro

%macro word_of 1
  mov eax, %1
  call print_hex
  print " "
%endmacro

main:
  call find_kvm
  hook 0x28, on_rtc
  hook APIC_VECTOR, on_apic
  mov ecx, 1193
  call start_timer
  mov al, 0xfa                    ; lines 0 and 2, the second chip's
  out 0x21, al
  mov al, 0xfe
  out 0xa1, al
  CMOS 0x0a, 0x29                 ; 128 Hz
  CMOS 0x0b, 0x42                 ; 24 hours, periodic interrupt
  mov al, 0x0c
  out 0x70, al
  in al, 0x71
  mov dword [APIC + 0xf0], 0x1ff
  mov dword [APIC + 0x3e0], 3     ; divided by 16
  mov dword [APIC + 0x320], APIC_VECTOR | 1 << 17
  mov dword [APIC + 0x380], 15625
  say "clocks run"
  sti
.next:
  call look_at_counter
  cmp dword [spins], 0
  jne .awake
  hlt
.awake:
  mov dx, LINE_STATUS
  in al, dx
  test al, 1
  jz .next
  mov dx, DATA
  in al, dx
  cmp al, 't'
  je .tell
  cmp al, 'i'
  je .interrupts_off
  cmp al, 'b'
  je .spin
  cmp al, 'h'
  je .halt
  cmp al, 'e'
  jne .next
  finish 0
.spin:
  mov dword [spins], 1
  jmp .next
.halt:
  mov dword [spins], 0
  jmp .next
.tell:
  call tell
  jmp .next
.interrupts_off:
  cli
  mov ecx, 22000                  ; times 15 us
.toggle:
  in al, 0x61
  and al, 0x10
  cmp al, bl
  je .toggle
  mov bl, al
  loop .toggle
  sti
  say "on again"
  jmp .next

look_at_counter:
  cli
  rdtsc
  cmp edx, [last + 4]
  jb .back
  ja .forth
  cmp eax, [last]
  jae .forth
.back:
  mov dword [went_back], 1
.forth:
  mov [last], eax
  mov [last + 4], edx
  sti
  ret

tell:
  cli
  mov eax, [ticks]
  mov [told], eax
  mov eax, [rtc_ticks]
  mov [told + 4], eax
  mov eax, [apic_ticks]
  mov [told + 8], eax
  rdtsc
  mov [told + 12], edx
  mov [told + 16], eax
  mov eax, [went_back]
  mov [told + 20], eax
  mov esi, kvm_clock
  mov edi, told + 24
  mov ecx, 8
  rep movsd
  sti
  print "t "
  xor ebx, ebx
.next:
  word_of [told + ebx * 4]
  inc ebx
  cmp ebx, 14
  jb .next
  say ""
  ret

find_kvm:
  mov eax, 0x40000000
  cpuid
  cmp ebx, "KVMK"
  jne .none
  mov eax, kvm_clock + 1
  xor edx, edx
  mov ecx, KVM_CLOCK
  wrmsr
.none:
  ret

on_rtc:
  inc dword [rtc_ticks]
  mov al, 0x0c
  out 0x70, al
  in al, 0x71
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  ret

on_apic:
  inc dword [apic_ticks]
  mov dword [APIC + 0xb0], 0
  ret

align 64
kvm_clock: times 8 dd 0
told: times 14 dd 0
last: dd 0, 0
went_back: dd 0
spins: dd 0
rtc_ticks: dd 0
apic_ticks: dd 0
