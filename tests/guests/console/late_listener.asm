; Lets time pass before it sets up COM1 the thorough way: both FIFOs cleared twice, what may be in the
; receiver read and thrown away, interrupts or polling then. Prints the lines it is given, until a
; line is "end".
; -DPOLLS: never enables the port's interrupts. -DSILENT: ends there.
%include "guest.inc"

COM equ 0x3f8

%macro port 2                   ; register, value
  mov dx, COM + %1
  mov al, %2
  out dx, al
%endmacro

main:
  mov ecx, 300000               ; port writes: each is an exit, so that the host may come in between
.wait:
  out 0xed, al
  loop .wait
  port 1, 0
  port 2, 7                     ; FIFOs on, and cleared
  port 2, 0
  port 3, 0x83                  ; divisor
  port 0, 1
  port 1, 0
  port 3, 3
  port 4, 3                     ; DTR, RTS
  mov dx, COM + 5
  in al, dx
  mov dx, COM
  in al, dx                     ; whatever there is
  mov dx, COM + 2
  in al, dx
  mov dx, COM + 6
  in al, dx
%ifndef POLLS
  port 1, 1                     ; received data
  hook 0x24, on_serial
  mov al, 0xef                  ; line 4 alone
  out 0x21, al
%endif
  port 2, 0xc7                  ; FIFOs on, and cleared once more
%ifdef SILENT
  finish 0
%endif
  say "listening"
.next_line:
  xor ebx, ebx
.next:
  call read_byte
  mov [line + ebx], al
  inc ebx
  mov dx, COM
  out dx, al
  cmp al, 10
  jne .next
  cmp dword [line], 0x0a646e65  ; "end\n"
  jne .next_line
  finish 0

%ifdef POLLS
read_byte:
  mov dx, COM + 5
.empty:
  in al, dx
  test al, 1
  jz .empty
  mov dx, COM
  in al, dx
  ret
%else
read_byte:
  movzx ecx, byte [queue_begin]
  cmp cl, [queue_end]
  jne .take
  sti
  hlt
  cli
  jmp read_byte
.take:
  mov al, [queue + ecx]
  inc byte [queue_begin]
  ret

; All that is there: the wire falls only then.
on_serial:
  mov dx, COM + 5
  in al, dx
  test al, 1
  jz .done
  mov dx, COM
  in al, dx
  movzx ecx, byte [queue_end]
  mov [queue + ecx], al
  inc byte [queue_end]
  jmp on_serial
.done:
  mov al, 0x20
  out 0x20, al
  ret

queue_begin: db 0
queue_end: db 0
queue: times 256 db 0
%endif

line: times 256 db 0
