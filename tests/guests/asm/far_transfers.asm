; Far jumps, calls and returns made again and again while what they depend on changes: descriptors,
; their table, the code behind them, the mapping of its page. Every check is made each time.
; exit: 0
; serial:
;   two segments, one offset: 00000064
;   base follows: 0000bbbb
;   base follows a return: 0000bbbb
;   not present: 0b 00000030
;   beyond the limit: 0d 00000000
;   no code: 0d 00000030
;   privilege: 0d 00000030
;   accessed set again
;   another table: 0000bbbb
;   code written: 0000cccc
;   near return in another segment: 0000bbb2
;   from memory: 0000aaaa
;   through a gate: 0000000a
;   flat: 0000000a
;   page mapped anew: 000000b5
;   big frames: 0000aaaa
;   real mode: 000000c8
;   near return in real mode: 0000bbb2
;   code written in real mode: 0000cccc
;   virtual-8086 mode: 00000064
%include "guest.inc"

A equ FREE0                        ; 16-bit code
B equ FREE0 + 8
D equ FREE0 + 16                   ; the same, where the calls are made
DATA16 equ FREE0 + 24
GATE equ FREE0 + 32
OTHER equ FREE0 + 40               ; as A is; what returns go to
STACK16 equ FREE0 + 48             ; 64 KiB at the bottom of memory

AT_A equ 0x10000
AT_B equ 0x20000
AT_D equ 0x30000
OTHER_GDT equ SPARE + 0x2000

; Runs the 16-bit code at an offset of D; AX is its result.
%macro in_d 1
  mov dword [entry], %1
  call run_sixteen
%endmacro

main:
  call make_code
  call make_segments

  print "two segments, one offset: "
  in_d d_two
  call show
  print "base follows: "
  in_d d_call_a
  gdt_entry A, AT_B, 0xffff, 0x009b
  in_d d_call_a
  call show
  call make_segments
  print "base follows a return: "
  in_d d_return_other
  gdt_entry OTHER, AT_B, 0xffff, 0x009b
  in_d d_return_other
  call show

  print "not present: "
  and byte [gdt + A + 5], 0x7f
  call faulting_call
  print "beyond the limit: "
  gdt_entry A, AT_A, 0x0f, 0x009b
  call faulting_call
  print "no code: "
  gdt_entry A, AT_A, 0xffff, 0x0093
  call faulting_call
  print "privilege: "
  gdt_entry A, AT_A, 0xffff, 0x00fb
  call faulting_call
  call make_segments
  in_d d_call_a
  and byte [gdt + A + 5], 0xfe
  in_d d_call_a
  movzx eax, byte [gdt + A + 5]
  check_equal eax, 0x9b, "accessed"
  say "accessed set again"

  print "another table: "
  mov esi, gdt
  mov edi, OTHER_GDT
  mov ecx, 64
  rep movsd
  mov byte [OTHER_GDT + A + 4], AT_B >> 16
  in_d d_call_a
  lgdt [other_pointer]
  in_d d_call_a
  call show
  lgdt [gdt_pointer]

  print "code written: "
  in_d d_call_a
  mov word [AT_A + 0x11], 0xcccc
  in_d d_call_a
  call show
  call make_code

  print "near return in another segment: "
  in_d d_near
  call show
  print "from memory: "
  in_d d_memory
  call show

  print "through a gate: "
  mov dword [gdt + GATE], (CODE0 << 16) | (addr(gated) & 0xffff)
  mov dword [gdt + GATE + 4], (addr(gated) & 0xffff0000) | 0x8c00
  xor ebx, ebx
  mov ecx, 10
.gate:
  call GATE:0
  loop .gate
  mov eax, ebx
  call show
  print "flat: "
  xor ebx, ebx
  mov ecx, 10
.flat:
  call CODE0:gated
  loop .flat
  mov eax, ebx
  call show

  print "page mapped anew: "
  call paging_on
  mov dword [SPARE], 0xcb05c083          ; add eax, 5; retf
  mov dword [SPARE + 0x1000], 0xcba0c083 ; add eax, -96; retf
  map VIRTUAL, SPARE | P | W
  mov eax, 0xb0 + 96 - 5 * 10
  mov ecx, 11
.mapped:
  call CODE0:VIRTUAL
  loop .mapped
  map VIRTUAL, (SPARE + 0x1000) | P | W
  invlpg [VIRTUAL]
  call CODE0:VIRTUAL
  call show
  mov ecx, cr0
  and ecx, 0x7fffffff
  mov cr0, ecx

  print "big frames: "
  in_d d_wide
  call show

  ; The same code in real mode, where segments are AT_A >> 4 and so on.
  print "real mode: "
  mov dword [mode], 1
  in_d d_real
  call show
  print "near return in real mode: "
  in_d d_near
  call show
  print "code written in real mode: "
  in_d d_real_a
  mov word [AT_A + 0x11], 0xcccc
  in_d d_real_a
  call show
  call make_code
  print "virtual-8086 mode: "
  mov dword [mode], 2
  in_d d_virtual
  call show
  ret

gated:
  inc ebx
  retf

; Calls A with what its descriptor is now, and prints the fault.
faulting_call:
  mov dword [entry], d_call_a
  try .fault
  call run_sixteen
  fail "no fault"
.fault:
tell:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov eax, [fault_vector]
  call print_byte
  print " "
  mov eax, [fault_error]
  call print_hex
  say ""
  ret

show:
  call print_hex
  say ""
  ret

make_segments:
  gdt_entry A, AT_A, 0xffff, 0x009b
  gdt_entry B, AT_B, 0xffff, 0x009b
  gdt_entry D, AT_D, 0xffff, 0x009b
  gdt_entry OTHER, AT_A, 0xffff, 0x009b
  gdt_entry DATA16, AT_D, 0xffff, 0x0093
  gdt_entry STACK16, 0, 0xffff, 0x0093
  ret

make_code:
  mov esi, code_a
  mov edi, AT_A
  mov ecx, code_b - code_a
  rep movsb
  mov edi, AT_B
  mov ecx, code_d - code_b
  rep movsb
  mov edi, AT_D
  mov ecx, code_end - code_d
  rep movsb
  ret

run_sixteen:
  mov [saved_esp], esp
  cmp dword [mode], 2
  je .virtual
  push dword D
  push dword d_enter
  xor edx, edx
  cmp dword [mode], 1
  jne .protected
  mov dword [esp], d_enter_real
.protected:
  mov eax, [entry]
  retf
.virtual:
  mov dword [TSS_AREA + 4], STACK_TOP - 0x10000
  mov edi, IDT_AREA + 0x83 * 8
  mov eax, back
  mov edx, eax
  and eax, 0xffff
  or eax, CODE0 << 16
  and edx, 0xffff0000
  or edx, 0xee00
  mov [edi], eax
  mov [edi + 4], edx
  push dword 0                     ; GS, FS
  push dword 0
  push dword AT_D >> 4             ; DS, ES
  push dword AT_D >> 4
  push dword 0                     ; SS
  push dword 0x7000
  push dword 0x23002               ; VM, IOPL 3
  push dword AT_D >> 4
  push dword [entry]
  iret
back:
  mov cx, DATA0
  mov ds, cx
  mov es, cx
  mov ss, cx
  mov fs, cx
  mov gs, cx
  mov esp, [saved_esp]
  movzx eax, ax
  ret

other_pointer:
  dw 255
  dd OTHER_GDT
align 4
saved_esp: dd 0
entry: dd 0
mode: dd 0                         ; 0 protected, 1 real, 2 virtual-8086

%macro entry_point 2                        ; a label, and its offset in its segment
%1_label:
%1 equ %1_label - %2
%endmacro

bits 16
code_a:
  times 0x10 nop
  mov ax, 0xaaaa                   ; offset 0x10
  retf
entry_point a_near, code_a
  call a_away
entry_point a_back, code_a
  mov ax, 0xaaa2
  retf
a_away:
  jmp far [ss:0x7800]              ; to B, which returns to the offset that A has called from
code_b:
  times 0x10 nop
  mov ax, 0xbbbb
  retf
  times a_back - ($ - code_b) nop
  mov ax, 0xbbb2
  retf
  times 8 nop
entry_point b_return, code_b
  ret
code_d:
%define here(label) (label - code_d)
entry_point d_enter, code_d
  mov cx, DATA16
  mov ds, cx
  mov cx, STACK16
  mov ss, cx
  mov esp, 0x7000
  jmp ax
entry_point d_enter_real, code_d
  mov cx, STACK16
  mov ss, cx
  mov esp, 0x7000
  mov ecx, cr0
  and cl, 0xfe
  mov cr0, ecx
  jmp (AT_D >> 4):here(.real)
.real:
  mov cx, AT_D >> 4
  mov ds, cx
  xor cx, cx
  mov ss, cx
  jmp ax
d_back:
  mov ecx, cr0
  or cl, 1
  mov cr0, ecx
  jmp dword CODE0:back

entry_point d_two, code_d               ; 50 calls of each: one adds 1, the other 1, if both are right
  mov si, 50
  xor di, di
.next:
  call A:0x10
  cmp ax, 0xaaaa
  jne .not_a
  inc di
.not_a:
  call B:0x10
  cmp ax, 0xbbbb
  jne .not_b
  inc di
.not_b:
  dec si
  jnz .next
  mov ax, di
  jmp dword CODE0:back

entry_point d_call_a, code_d
  mov si, 3
.next:
  call A:0x10
  dec si
  jnz .next
  jmp dword CODE0:back

entry_point d_return_other, code_d      ; OTHER:0x10, which returns to here
  mov si, 3
.next:
  push cs
  push word here(.back)
  push word OTHER
  push word 0x10
  retf
.back:
  dec si
  jnz .next
  jmp dword CODE0:back

entry_point d_near, code_d
  mov cx, cs
  cmp cx, D
  mov word [ss:0x7800], b_return
  mov word [ss:0x7802], B
  mov word [ss:0x7804], a_near
  mov word [ss:0x7806], A
  je .go
  mov word [ss:0x7802], AT_B >> 4
  mov word [ss:0x7806], AT_A >> 4
.go:
  mov si, 4
.next:
  call far [ss:0x7804]
  dec si
  jnz .next
  mov cx, cs
  cmp cx, D
  jne d_back
  jmp dword CODE0:back

entry_point d_memory, code_d
  mov word [0x8000], 0x10
  mov word [0x8002], A
  mov si, 5
  mov bx, 0x8000
.next:
  call far [bx]
  dec si
  jnz .next
  jmp dword CODE0:back

entry_point d_wide, code_d              ; a frame of 32 bits
  mov si, 5
.next:
  push word D                      ; A returns by a frame of 16 bits
  push word here(.back)
  push dword A
  push dword 0x10
  o32 retf
.back:
  dec si
  jnz .next
  jmp dword CODE0:back

entry_point d_real, code_d
  mov si, 100
  xor di, di
.next:
  call (AT_A >> 4):0x10
  cmp ax, 0xaaaa
  jne .not_a
  inc di
.not_a:
  call (AT_B >> 4):0x10
  cmp ax, 0xbbbb
  jne .not_b
  inc di
.not_b:
  dec si
  jnz .next
  mov ax, di
  jmp d_back

entry_point d_real_a, code_d
  mov si, 3
.next:
  call (AT_A >> 4):0x10
  dec si
  jnz .next
  jmp d_back

entry_point d_virtual, code_d
  mov si, 50
  xor di, di
.next:
  call (AT_A >> 4):0x10
  cmp ax, 0xaaaa
  jne .not_a
  inc di
.not_a:
  push cs
  push word here(.after)
  push word AT_B >> 4
  push word 0x10
  retf
.after:
  cmp ax, 0xbbbb
  jne .not_b
  inc di
.not_b:
  dec si
  jnz .next
  mov ax, di
  int 0x83
code_end:
bits 32
